import type { Context, Middleware } from 'koa'
import { fromEngineSeconds } from '../../oidc/engine/engine-time.ts'
import { currentRequest } from '../../oidc/engine/request-context.ts'
import { cookieNames } from '../../oidc/session/cookies.ts'

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

/**
 * Sets the session cookie only to an identifier that this request stored or extended. The engine sets it in every
 * answer; an answer to a request that overlapped a change of identifier would replace the new identifier and sign the
 * browser out.
 */
export function keepNewerSessionCookie({ issuer }: { issuer: string }): Middleware {
  const { session } = cookieNames(issuer)

  return async (ctx, next) => {
    try {
      await next()
    } finally {
      const cookies = [ctx.response.headers['set-cookie'] ?? []].flat()
      const kept = keep(cookies, (id) => id === '' || currentRequest().browser.mayHaveCookie(id))
      if (kept.length < cookies.length) setCookies(ctx, kept)
    }
  }

  /** Each cookie is followed by its signature. */
  function keep(cookies: readonly string[], mayBeSet: (id: string) => boolean): string[] {
    let isKept = true
    return cookies.filter((cookie) => {
      const [, name, value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
      if (name === session) isKept = mayBeSet(value)
      return isKept || (name !== session && name !== `${session}.sig`)
    })
  }
}

function setCookies(ctx: Context, cookies: string[]): void {
  if (cookies.length === 0) ctx.remove('Set-Cookie')
  else ctx.set('Set-Cookie', cookies)
}
