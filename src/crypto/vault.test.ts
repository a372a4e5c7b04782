import { describe, expect, test } from 'vitest'
import { sealLegacy } from '../../conformance/support/legacy-seal.ts'
import { createVault, randomMasterKey, UnsealError } from './vault.ts'

const key = randomMasterKey()
const vault = createVault([key])
const row = ['row 1']

describe('a sealed value', () => {
  test('opens for its purpose and row only', () => {
    const sealed = vault.seal('a secret', 'device code', row)
    expect(vault.open(sealed, 'device code', row)).toBe('a secret')
    expect(() => vault.open(sealed, 'signing key', row)).toThrow(UnsealError)
    expect(() => vault.open(sealed, 'device code', ['row 2'])).toThrow(UnsealError)
    expect(() => vault.open(sealed, 'device code', [])).toThrow(UnsealError)
  })

  test('opens for all parts of a composite key, in their order', () => {
    const sealed = vault.seal('a secret', 'x', [Buffer.of(1, 2), 'b'])
    expect(vault.open(sealed, 'x', [new Uint8Array([1, 2]), 'b'])).toBe('a secret')
    for (const other of [['b', Buffer.of(1, 2)], [Buffer.of(1), 'b'], [Buffer.of(1, 2)], ['AQI', 'b']])
      expect(() => vault.open(sealed, 'x', other)).toThrow(UnsealError)
  })

  test('does not open for different parts with the same concatenation', () => {
    const sealed = vault.seal('a secret', 'x', ['a', 'bc'])
    for (const other of [['ab', 'c'], ['abc'], ['a","bc']])
      expect(() => vault.open(sealed, 'x', other)).toThrow(UnsealError)
  })

  test('is undefined from tryOpen when it does not open', () => {
    expect(vault.tryOpen(vault.seal('a secret', 'x', row), 'x', row)).toBe('a secret')
    expect(vault.tryOpen(vault.seal('a secret', 'x', row), 'x', ['row 2'])).toBeUndefined()
    expect(vault.tryOpen(Buffer.from('nothing'), 'x', row)).toBeUndefined()
  })

  test('does not contain the clear text, and differs each time', () => {
    expect(vault.seal('a secret', 'x', row).includes('a secret')).toBe(false)
    expect(vault.seal('a secret', 'x', row).equals(vault.seal('a secret', 'x', row))).toBe(false)
  })

  test.each([0, 1, 6, 20, 34])('does not open with a bit changed at byte %i', (position) => {
    const sealed = vault.seal('a secret', 'x', row)
    sealed[position] = (sealed[position] ?? 0) ^ 1
    expect(() => vault.open(sealed, 'x', row)).toThrow(UnsealError)
  })

  test('does not open when truncated', () => {
    expect(() => vault.open(vault.seal('a secret', 'x', row).subarray(0, 30), 'x', row)).toThrow(UnsealError)
    expect(() => vault.open(Buffer.alloc(0), 'x', row)).toThrow(UnsealError)
  })

  test('opens after a key rotation, and the newest key seals', () => {
    const ring = createVault([randomMasterKey(), key])
    expect(ring.open(vault.seal('old', 'x', row), 'x', row)).toBe('old')
    expect(() => vault.open(ring.seal('new', 'x', row), 'x', row)).toThrow(UnsealError)
  })
})

describe('a value in the unbound format', () => {
  test('opens with openUnbound only', () => {
    const sealed = sealLegacy(key, 'a secret', 'signing key')
    expect(vault.openUnbound(sealed, 'signing key', row)).toBe('a secret')
    expect(() => vault.open(sealed, 'signing key', row)).toThrow(UnsealError)
    expect(() => vault.openUnbound(sealed, 'device code', row)).toThrow(UnsealError)
  })

  test('does not include a bound value with a changed version byte', () => {
    const sealed = vault.seal('a secret', 'signing key', row)
    expect(vault.openUnbound(sealed, 'signing key', row)).toBe('a secret')
    expect(() => vault.openUnbound(sealed, 'signing key', ['row 2'])).toThrow(UnsealError)
    sealed[0] = 1
    expect(() => vault.openUnbound(sealed, 'signing key', ['row 2'])).toThrow(UnsealError)
  })
})

test('a keyed hash depends on value, purpose and key', () => {
  const hashed = vault.keyedHash('BCDFGHJK', 'user code')
  expect(vault.keyedHash('BCDFGHJK', 'user code')).toEqual(hashed)
  expect(vault.keyedHash('BCDFGHJL', 'user code')).not.toEqual(hashed)
  expect(vault.keyedHash('BCDFGHJK', 'other')).not.toEqual(hashed)
  expect(createVault([randomMasterKey()]).keyedHash('BCDFGHJK', 'user code')).not.toEqual(hashed)
})
