import type { Middleware } from 'koa'
import { fromEngineSeconds } from '../../oidc/engine/engine-time.ts'
import { currentRequest } from '../../oidc/engine/request-context.ts'
import { cookieNames } from '../../oidc/session/cookies.ts'

const EXPIRES = /(?<=; expires=)[^;]+/i

/**
 * Corrects the cookies of the response.
 *
 * The session cookie is set only to an identifier that this request stored or extended. The engine sets it in every
 * answer; an answer to a request that overlapped a change of identifier would replace the new identifier and sign the
 * browser out.
 *
 * The expiry of cookies is converted to the database's clock. The engine computes it by this machine's clock, and a
 * machine that is behind would send expired cookies.
 */
export function correctCookies({ issuer }: { issuer: string }): Middleware {
  const { session } = cookieNames(issuer)

  return async (ctx, next) => {
    try {
      await next()
    } finally {
      const cookies = ctx.response.headers['set-cookie']
      if (cookies !== undefined) {
        const corrected = withoutOlderSession([cookies].flat()).map(withDatabaseExpiry)
        if (corrected.length === 0) ctx.remove('Set-Cookie')
        else ctx.set('Set-Cookie', corrected)
      }
    }
  }

  /** Each cookie is followed by its signature. An empty value deletes the cookie. */
  function withoutOlderSession(cookies: readonly string[]): string[] {
    let isKept = true
    return cookies.filter((cookie) => {
      const [, name, id = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
      if (name === session) isKept = id === '' || currentRequest().browser.mayHaveCookie(id)
      return isKept || (name !== session && name !== `${session}.sig`)
    })
  }
}

function withDatabaseExpiry(cookie: string): string {
  return cookie.replace(EXPIRES, (expires) => {
    const seconds = Date.parse(expires) / 1000
    // The epoch itself deletes the cookie.
    return seconds === 0 ? expires : fromEngineSeconds(seconds).toUTCString()
  })
}
