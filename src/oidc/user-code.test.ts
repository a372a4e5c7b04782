import { describe, expect, test } from 'vitest'
import { hasOddLetters, readUserCode } from './user-code.ts'

describe('a user code', () => {
  test.each([
    ['ＢＣＤＦ－ＧＨＪＫ', 'BCDF-GHJK'],
    ['ｂｃｄｆ　ｇｈｊｋ', 'bcdf ghjk'],
    ['bcdf_ghjk', 'bcdf-ghjk'],
  ])('entered as %s is read as %s', (entered, read) => expect(readUserCode(entered)).toBe(read))

  test.each([
    ['BCDF-GHJK', false],
    ['bcdf ghjk', false],
    ['ＢＣＤＦ－ＧＨＪＫ', false],
    ['bcdf–ghjk', false],
    ['', false],
    ['BCDF-GHJ0', true],
    ['BODF-GHJK', true],
    ['BCDF-GHJY', true],
    ['ВCDF-GHJK', true],
  ])('entered as %s has letters that no code has: %s', (entered, isOdd) =>
    expect(hasOddLetters(entered)).toBe(isOdd),
  )
})
