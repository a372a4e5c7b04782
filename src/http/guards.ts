import type { Context, Middleware } from 'koa'
import { BadRequestError, isForm, readForm, refuseNul, replayForm } from './form.ts'

const MAX_URL_CHARACTERS = 16 * 1024
const MAX_HEADER_CHARACTERS = 16 * 1024
/** What comes back in a redirect or a token: refused as a whole when it is longer, never cut. */
const ECHOED = ['state', 'nonce']
const MAX_ECHOED_CHARACTERS = 8 * 1024

/** Refuses what no honest client sends, before the engine or the database see it. */
export const refuseHostileRequests: Middleware = async (ctx, next) => {
  if (ctx.url.length > MAX_URL_CHARACTERS) throw new BadRequestError(414, 'the URL is too long')
  if (ctx.req.rawHeaders.join('').length > MAX_HEADER_CHARACTERS)
    throw new BadRequestError(431, 'the headers are too long')
  refuseNul(ctx.url)
  if (ctx.querystring) refuseLongEchoes(new URLSearchParams(ctx.querystring))
  if (ctx.method === 'POST' && isForm(ctx)) {
    ctx.state.form = await readForm(ctx)
    refuseLongEchoes(ctx.state.form)
    replayForm(ctx, ctx.state.form)
  }
  return next()
}

function refuseLongEchoes(parameters: URLSearchParams): void {
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
    const site = ctx.get('sec-fetch-site')
    const origin = ctx.get('origin')
    const isSameSite = site === '' || site === 'same-origin' || site === 'none'
    const isOwnOrigin = origin === '' || origin === issuer || (origin === 'null' && site === 'same-origin')
    if (!isSameSite || !isOwnOrigin) throw new BadRequestError(403, 'this form was sent by another site')
    return next()
  }
}

/** The form of a POST, as {@link refuseHostileRequests} read it. */
export function formOf(ctx: Context): URLSearchParams {
  return ctx.state.form instanceof URLSearchParams ? ctx.state.form : new URLSearchParams()
}
