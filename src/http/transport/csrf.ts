import { timingSafeEqual } from 'node:crypto'
import type { Vault } from '../../crypto/vault.ts'
import { BadRequestError } from './form.ts'

type FormPurpose = 'interaction csrf' | 'account csrf' | 'asking csrf' | 'mail link csrf'

/**
 * The CSRF token of forms: keyed to an interaction or a session, which in turn is bound to a cookie. A page of another
 * one, or of another browser, carries another token.
 *
 * @param purpose of whose forms: a token is good for no others.
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
