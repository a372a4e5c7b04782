import { hash } from 'argon2'
import { describe, expect, test } from 'vitest'
import {
  createPasswordHasher,
  HashingBusyError,
  isPossiblePassword,
  PasswordRuleError,
  parseNewPassword,
} from './password.ts'

describe('a new password', () => {
  test('needs 15 characters and no particular ones (NIST SP 800-63B-4)', () => {
    expect(() => parseNewPassword('fourteen chars')).toThrow(PasswordRuleError)
    expect(parseNewPassword('aaaaaaaaaaaaaaa')).toHaveLength(15)
  })

  test('may be 1,024 characters long, not more', () => {
    expect(parseNewPassword('ü'.repeat(1024))).toHaveLength(1024)
    expect(() => parseNewPassword('a'.repeat(1025))).toThrow(PasswordRuleError)
  })

  test('is the same however its letters were composed', () => {
    expect(parseNewPassword('e\u0301'.repeat(15))).toBe('\u00e9'.repeat(15))
  })

  test('what nobody can have chosen is not hashed', () => {
    expect(isPossiblePassword('')).toBe(false)
    expect(isPossiblePassword('a'.repeat(1_000_000))).toBe(false)
    expect(isPossiblePassword('old short')).toBe(true)
  })
})

describe('the hasher', () => {
  const hasher = createPasswordHasher()

  test('verifies what it hashed, whole', async () => {
    const stored = await hasher.hash(`${'x'.repeat(80)}a`)
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=19456,(t=2,p=1|p=1,t=2)\$/)
    expect(await hasher.verify(stored, `${'x'.repeat(80)}a`)).toBe(true)
    expect(await hasher.verify(stored, `${'x'.repeat(80)}b`)).toBe(false)
  })

  test('takes a decoy when there is no hash, and says no', async () => {
    expect(await hasher.verify(undefined, 'anything at all')).toBe(false)
  })

  test('knows a hash made with other parameters', async () => {
    expect(hasher.isOutdated(await hash('x', { memoryCost: 8192, timeCost: 1 }))).toBe(true)
    expect(hasher.isOutdated(await hasher.hash('x'))).toBe(false)
  })

  test('refuses work beyond its queue', async () => {
    const small = createPasswordHasher({ atOnce: 1, waitingAtMost: 1 })
    const results = await Promise.allSettled([1, 2, 3, 4].map(() => small.hash('x')))
    const refused = results.filter((result) => result.status === 'rejected')
    expect(refused).toHaveLength(2)
    expect(refused.every(({ reason }) => reason instanceof HashingBusyError)).toBe(true)
  })
})
