import { describe, expect, test } from 'vitest'
import { createVault, randomMasterKey, UnsealError } from './vault.ts'

const key = randomMasterKey()
const vault = createVault([key])

describe('vault', () => {
  test('what was sealed comes back, for the same purpose only', () => {
    const sealed = vault.seal('a secret', 'device code')
    expect(vault.open(sealed, 'device code')).toBe('a secret')
    expect(() => vault.open(sealed, 'signing key')).toThrow(UnsealError)
  })

  test('the clear text is not in the sealed value, and no two are alike', () => {
    expect(vault.seal('a secret', 'x').includes('a secret')).toBe(false)
    expect(vault.seal('a secret', 'x').equals(vault.seal('a secret', 'x'))).toBe(false)
  })

  test.each([0, 1, 6, 20, 34])('a bit changed at byte %i is noticed', (position) => {
    const sealed = vault.seal('a secret', 'x')
    sealed[position] = (sealed[position] ?? 0) ^ 1
    expect(() => vault.open(sealed, 'x')).toThrow(UnsealError)
  })

  test('a value cut short is refused', () => {
    expect(() => vault.open(vault.seal('a secret', 'x').subarray(0, 30), 'x')).toThrow(UnsealError)
    expect(() => vault.open(Buffer.alloc(0), 'x')).toThrow(UnsealError)
  })

  test('after a change of keys the old one still opens, and the new one seals', () => {
    const ring = createVault([randomMasterKey(), key])
    expect(ring.open(vault.seal('old', 'x'), 'x')).toBe('old')
    expect(() => vault.open(ring.seal('new', 'x'), 'x')).toThrow(UnsealError)
  })

  test('fingerprints depend on value, purpose and key', () => {
    const fingerprint = vault.fingerprint('BCDFGHJK', 'user code')
    expect(vault.fingerprint('BCDFGHJK', 'user code')).toEqual(fingerprint)
    expect(vault.fingerprint('BCDFGHJL', 'user code')).not.toEqual(fingerprint)
    expect(vault.fingerprint('BCDFGHJK', 'other')).not.toEqual(fingerprint)
    expect(createVault([randomMasterKey()]).fingerprint('BCDFGHJK', 'user code')).not.toEqual(fingerprint)
  })
})
