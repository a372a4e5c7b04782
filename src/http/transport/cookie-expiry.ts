import type { Middleware } from 'koa'
import { fromEngineSeconds } from '../../oidc/engine/engine-time.ts'

const EXPIRES = /(?<=; expires=)[^;]+/i

/**
 * Converts the expiry of cookies to the database's clock. The engine computes it by this machine's clock, and a machine
 * that is behind would send expired cookies.
 */
export const correctCookieExpiry: Middleware = async (ctx, next) => {
  try {
    await next()
  } finally {
    const cookies = ctx.response.headers['set-cookie']
    if (cookies !== undefined) ctx.set('Set-Cookie', [cookies].flat().map(corrected))
  }
}

function corrected(cookie: string): string {
  return cookie.replace(EXPIRES, (expires) => {
    const seconds = Date.parse(expires) / 1000
    // The epoch itself deletes the cookie.
    return seconds === 0 ? expires : fromEngineSeconds(seconds).toUTCString()
  })
}
