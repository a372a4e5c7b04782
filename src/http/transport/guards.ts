import type { Context, Middleware } from 'koa'
import { isForPeople, takesOnlyPost } from '../../oidc/engine/endpoints.ts'
import { replayForm } from '../../oidc/engine/form.ts'
import { MAX_URL_CHARACTERS } from '../listener/request-target.ts'
import { BadRequestError, isForm, isOtherBody, readForm, refuseUnreadable } from './form.ts'

const MAX_HEADER_CHARACTERS = 16 * 1024
const MAX_HEADERS = 100
/** Of a query, of a form, of cookies. The longest honest form is a consent to everything there is. */
const MAX_PARAMETERS = 200
/** What comes back in a redirect or a token: refused as a whole when it is longer, never cut. */
const ECHOED = ['state', 'nonce']
const MAX_ECHOED_CHARACTERS = 8 * 1024
const METHODS = ['GET', 'HEAD', 'POST', 'OPTIONS']

/** Refuses what no honest client sends, before the engine or the database see it. */
export const refuseHostileRequests: Middleware = async (ctx, next) => {
  if (ctx.url.length > MAX_URL_CHARACTERS) throw new BadRequestError(414, 'the URL is too long')
  refuseHeaders(ctx)
  refuseMethod(ctx)
  if (takesOnlyPost(ctx)) requirePost(ctx)
  refuseUnreadable(ctx.url)
  if (ctx.querystring) refuseParameters(new URLSearchParams(ctx.querystring))
  if (ctx.method === 'POST') {
    if (isForm(ctx)) await takeForm(ctx)
    // Programs are told by the engine, in the words of RFC 6749.
    else if (isOtherBody(ctx) && isForPeople(ctx))
      throw new BadRequestError(415, 'only forms are accepted (application/x-www-form-urlencoded)')
  }
  return next()
}

/** Reads the form for our own pages, and lets the engine read it again. */
async function takeForm(ctx: Context): Promise<void> {
  const form = await readForm(ctx)
  refuseParameters(form)
  ctx.state.form = form
  replayForm(ctx, form)
}

function refuseHeaders(ctx: Context): void {
  const { rawHeaders } = ctx.req
  if (rawHeaders.length > 2 * MAX_HEADERS || rawHeaders.join('').length > MAX_HEADER_CHARACTERS)
    throw new BadRequestError(431, 'the headers are too long')
  const cookies = ctx.get('cookie')
  if (cookies.length > MAX_PARAMETERS && cookies.split(';').length > MAX_PARAMETERS)
    throw new BadRequestError(400, 'there are too many cookies')
}

function refuseMethod(ctx: Context): void {
  if (METHODS.includes(ctx.method)) return
  ctx.set('Allow', METHODS.join(', '))
  throw new BadRequestError(405, 'this method is not accepted anywhere here')
}

function requirePost(ctx: Context): void {
  if (ctx.method === 'POST' || ctx.method === 'OPTIONS') return
  ctx.set('Allow', 'POST, OPTIONS')
  throw new BadRequestError(405, 'this endpoint takes POST')
}

function refuseParameters(parameters: URLSearchParams): void {
  if (parameters.size > MAX_PARAMETERS) throw new BadRequestError(400, 'there are too many parameters')
  const tooLong = ECHOED.find((name) =>
    parameters.getAll(name).some((value) => value.length > MAX_ECHOED_CHARACTERS),
  )
  if (tooLong) throw new BadRequestError(400, `the parameter ${tooLong} is too long`)
}

/**
 * Refuses forms that another site submits. Browsers say where a request comes from; `Origin: null` alone is what a
 * sandboxed frame sends, while our own pages, under `Referrer-Policy: no-referrer`, send it with
 * `Sec-Fetch-Site: same-origin`.
 */
export function refuseCrossSite({ issuer }: { issuer: string }): Middleware {
  return (ctx, next) => {
    if (ctx.method !== 'POST') return next()
    const origin = ctx.get('origin')
    const isOwnOrigin =
      origin === '' || origin === issuer || (origin === 'null' && ctx.get('sec-fetch-site') === 'same-origin')
    if (isFromElsewhere(ctx) || !isOwnOrigin)
      throw new BadRequestError(403, 'this form was sent by another site')
    return next()
  }
}

/**
 * Refuses to go on where another site says so. A neighbour of ours, on another subdomain, can set cookies for us:
 * with those of a sign-in of its own, this browser would go on as somebody else (login CSRF).
 */
export const refuseForeignNavigation: Middleware = (ctx, next) => {
  if (isFromElsewhere(ctx)) throw new BadRequestError(403, 'cross-site navigation blocked')
  return next()
}

/** `none` is a person, who types an address or opens a bookmark. */
function isFromElsewhere(ctx: Context): boolean {
  return !['', 'same-origin', 'none'].includes(ctx.get('sec-fetch-site'))
}
