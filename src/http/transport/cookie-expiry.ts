import type { Middleware } from 'koa'
import { fromEngineSeconds } from '../../oidc/engine-time.ts'

const EXPIRES = /(?<=; expires=)[^;]+/i

/**
 * Dates the end of cookies by the database's clock. They are made by this machine's, by the engine too: one that is
 * behind would send cookies that are over.
 */
export const correctCookieExpiry: Middleware = async (ctx, next) => {
  await next()
  const cookies = ctx.response.headers['set-cookie']
  if (cookies !== undefined) ctx.set('Set-Cookie', [cookies].flat().map(corrected))
}

function corrected(cookie: string): string {
  return cookie.replace(EXPIRES, (expires) => {
    const seconds = Date.parse(expires) / 1000
    // The epoch itself: the cookie is taken away.
    return seconds === 0 ? expires : fromEngineSeconds(seconds).toUTCString()
  })
}
