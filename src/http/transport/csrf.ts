import { timingSafeEqual } from 'node:crypto'
import type { Context, Middleware } from 'koa'
import type { Vault } from '../../crypto/vault.ts'
import { BadRequestError } from './input-limits.ts'

/** Names of derived keys: a new name invalidates the forms that are open during an upgrade. */
type FormPurpose = 'interaction csrf' | 'account csrf' | 'asking csrf' | 'mail link csrf'

/**
 * CSRF tokens of forms: each is a keyed hash of an interaction or session, which is bound to a cookie. A form of another
 * browser, or for another purpose, has another token.
 */
export function createCsrf(vault: Vault, purpose: FormPurpose) {
  const tokenFor = (uid: string): string => vault.keyedHash(uid, purpose).toString('base64url')
  return {
    tokenFor,

    /** @throws {BadRequestError} 403 */
    verify(uid: string, presented: string | null): void {
      const expected = Buffer.from(tokenFor(uid))
      const given = Buffer.from(presented ?? '')
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
        throw new BadRequestError(403, 'the form carried no valid CSRF token')
      }
    },
  }
}

/**
 * Rejects forms that another site submits, by `Origin` and `Sec-Fetch-Site`. The server's own pages send
 * `Origin: null`, because of `Referrer-Policy: no-referrer`, with `Sec-Fetch-Site: same-origin`; a sandboxed frame sends
 * `Origin: null` alone.
 */
export function refuseCrossSite({ issuer }: { issuer: string }): Middleware {
  return (ctx, next) => {
    if (ctx.method !== 'POST') return next()
    const origin = ctx.get('origin')
    const isOwnOrigin =
      origin === '' || origin === issuer || (origin === 'null' && ctx.get('sec-fetch-site') === 'same-origin')
    if (isCrossSite(ctx) || !isOwnOrigin) throw new BadRequestError(403, 'this form was sent by another site')
    return next()
  }
}

/**
 * Rejects cross-site navigation to the resumption of a request. A site on a sibling subdomain can set cookies for this
 * one, and would continue the browser with a sign-in of its own (login CSRF).
 */
export const refuseForeignNavigation: Middleware = (ctx, next) => {
  if (isCrossSite(ctx)) throw new BadRequestError(403, 'cross-site navigation blocked')
  return next()
}

/** `none` means that a person typed the address or opened a bookmark. */
function isCrossSite(ctx: Context): boolean {
  return !['', 'same-origin', 'none'].includes(ctx.get('sec-fetch-site'))
}
