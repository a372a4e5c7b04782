import { argon2id, hash, needsRehash, verify } from 'argon2'
import pLimit from 'p-limit'
import { randomSecret } from '../vault.ts'

const MIN_CHARACTERS = 15
const MAX_CHARACTERS = 1024

/** OWASP's recommendation of the least memory: 12 ms on the machine it was measured on. */
const ARGON2_OPTIONS = {
  type: argon2id,
  memoryCost: 19_456,
  timeCost: 2,
  parallelism: 1,
  hashLength: 32,
} as const
/** Hashing shares libuv's four threads with token signing, so it must not take them all for long. */
const AT_ONCE = 4
const WAITING_AT_MOST = 64

/** A password that may not be chosen; the message says why, in words for the person who chose it. */
export class PasswordRuleError extends Error {
  override name = 'PasswordRuleError'
}

/** Too many passwords are being hashed at this moment: come back later (503). */
export class HashingBusyError extends Error {
  override name = 'HashingBusyError'
}

/** Every password is compared in this form, however the keyboard composed its letters (NIST SP 800-63B-4 §3.1.1.2). */
export function normalizePassword(password: string): string {
  return password.normalize('NFC')
}

/** A password longer than any that could have been chosen is not worth hashing. */
export function isPossiblePassword(password: string): boolean {
  return (
    password.length > 0 &&
    password.length <= MAX_CHARACTERS * 2 &&
    [...normalizePassword(password)].length <= MAX_CHARACTERS
  )
}

/**
 * Judges a password that somebody wants to set: length alone, no composition rules (NIST SP 800-63B-4).
 *
 * @returns it in the form that is hashed.
 * @throws {PasswordRuleError}
 */
export function parseNewPassword(password: string): string {
  const normalized = normalizePassword(password)
  const length = [...normalized].length
  if (length < MIN_CHARACTERS)
    throw new PasswordRuleError(
      `A password has at least ${MIN_CHARACTERS} characters; this one has ${length}.`,
    )
  if (length > MAX_CHARACTERS)
    throw new PasswordRuleError(
      `A password has at most ${MAX_CHARACTERS} characters; this one has ${length}.`,
    )
  return normalized
}

export type PasswordHasher = ReturnType<typeof createPasswordHasher>

/** Argon2id in a bounded pool. Both functions reject with {@link HashingBusyError} when the queue is full. */
export function createPasswordHasher({ atOnce = AT_ONCE, waitingAtMost = WAITING_AT_MOST } = {}) {
  const limit = pLimit(atOnce)
  let decoy: Promise<string> | undefined

  async function bounded<T>(work: () => Promise<T>): Promise<T> {
    if (limit.pendingCount >= waitingAtMost) throw new HashingBusyError('too many passwords are being hashed')
    return await limit(work)
  }

  return {
    /** @param password as {@link parseNewPassword} returned it. */
    hash: (password: string): Promise<string> => bounded(() => hash(password, ARGON2_OPTIONS)),

    /**
     * Verifies a password. Without a hash (unknown login, no password set) a decoy is verified: a fast "no" would
     * tell an attacker which logins exist.
     */
    async verify(passwordHash: string | undefined, password: string): Promise<boolean> {
      decoy ??= hash(randomSecret(), ARGON2_OPTIONS)
      const against = passwordHash ?? (await decoy)
      const matches = await bounded(() => verify(against, normalizePassword(password)))
      return matches && passwordHash !== undefined
    },

    isOutdated: (passwordHash: string): boolean => needsRehash(passwordHash, ARGON2_OPTIONS),
  }
}
