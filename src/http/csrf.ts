import { timingSafeEqual } from 'node:crypto'
import type { Vault } from '../vault.ts'
import { BadRequestError } from './form.ts'

const PURPOSE = 'interaction csrf'

/**
 * The CSRF token of an interaction's forms: keyed to the interaction, which in turn is bound to a cookie. A page
 * of another interaction or another browser carries another one.
 */
export function createCsrf(vault: Vault) {
  const tokenFor = (uid: string): string => vault.fingerprint(uid, PURPOSE).toString('base64url')
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
