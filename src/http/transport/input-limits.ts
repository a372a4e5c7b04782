/**
 * Room http/transport/: the middleware that every request passes: limits on input (this file), the client's address,
 * response headers, CSRF, request rate limits, cookies of the response and the request log. ../app.ts has their order.
 */

import type { Context, Middleware } from 'koa'
import getRawBody from 'raw-body'
import { isForPeople, takesOnlyPost } from '../../oidc/engine/endpoints.ts'
import { FORM_TYPE, MAX_FORM_BYTES, replayForm } from '../../oidc/engine/form.ts'
import { MAX_URL_CHARACTERS } from '../listener/request-target.ts'

const MAX_HEADER_CHARACTERS = 16 * 1024
const MAX_HEADERS = 100
/** Of a query, a form or cookies. The longest legitimate form is the consent to every scope. */
const MAX_PARAMETERS = 200
/** Parameters that are echoed in a redirect or a token. A longer value is rejected, never cut. */
const ECHOED = ['state', 'nonce']
const MAX_ECHOED_CHARACTERS = 8 * 1024
const METHODS = ['GET', 'HEAD', 'POST', 'OPTIONS']

/** The request is rejected before its content is considered. */
export class BadRequestError extends Error {
  override name = 'BadRequestError'
  readonly status: number
  constructor(status: 400 | 403 | 405 | 413 | 414 | 415 | 431, message: string) {
    super(message)
    this.status = status
  }
}

/** Rejects requests that no legitimate client sends, before the engine or the database see them. */
export const refuseHostileRequests: Middleware = async (ctx, next) => {
  if (ctx.url.length > MAX_URL_CHARACTERS) throw new BadRequestError(414, 'the URL is too long')
  refuseHeaders(ctx)
  refuseMethod(ctx)
  if (takesOnlyPost(ctx)) requirePost(ctx)
  refuseUnreadable(ctx.url)
  if (ctx.querystring) refuseParameters(new URLSearchParams(ctx.querystring))
  if (ctx.method === 'POST') {
    if (isForm(ctx)) await takeForm(ctx)
    // For programs, the engine answers with an error of RFC 6749.
    else if (isOtherBody(ctx) && isForPeople(ctx))
      throw new BadRequestError(415, 'only forms are accepted (application/x-www-form-urlencoded)')
  }
  return next()
}

/** Reads the form for the server's pages, and lets the engine read it again. */
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

function isForm(ctx: Context): boolean {
  return ctx.is(FORM_TYPE) === FORM_TYPE
}

function isOtherBody(ctx: Context): boolean {
  return ctx.is(FORM_TYPE) === false && ctx.get('content-length') !== '0'
}

/**
 * Reads a form.
 *
 * @throws {BadRequestError} 413 when it is too long, 415 when it is compressed, 400 when it is not UTF-8 or has NUL
 *   bytes, which Postgres cannot store.
 */
async function readForm(ctx: Context): Promise<URLSearchParams> {
  if (ctx.get('content-encoding'))
    throw new BadRequestError(415, 'compressed request bodies are not accepted')
  const bytes = await getRawBody(ctx.req, {
    limit: MAX_FORM_BYTES,
    length: ctx.get('content-length') || null,
  }).catch((error: unknown) => {
    throw isTooLarge(error)
      ? new BadRequestError(413, 'the request body is too large')
      : new BadRequestError(400, 'the request body was cut off')
  })
  const text = decode(bytes)
  refuseUnreadable(text)
  return new URLSearchParams(text)
}

/**
 * Rejects text with NUL bytes, or with escapes that are not UTF-8 (overlong forms, surrogates; RFC 3629 §3).
 *
 * @throws {BadRequestError} 400
 */
function refuseUnreadable(encoded: string): void {
  if (encoded.includes('\0') || encoded.includes('%00'))
    throw new BadRequestError(400, 'NUL bytes are not accepted')
  for (const [escapes] of encoded.matchAll(/(?:%[0-9a-f]{2})+/gi)) {
    try {
      decodeURIComponent(escapes)
    } catch {
      throw new BadRequestError(400, 'the request is not UTF-8')
    }
  }
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new BadRequestError(400, 'the request body is not UTF-8')
  }
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'type' in error && error.type === 'entity.too.large'
}
