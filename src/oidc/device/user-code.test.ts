import { describe, expect, test } from 'vitest'
import { faultOf, isEntryOf } from './user-code.ts'

describe('an entered user code (RFC 8628 §6.1)', () => {
  test.each(['BCDFGHJK', 'BCDF-GHJK', 'bcdf ghjk', ' b-c-d-f–ghjk'.replace('–', ' '), 'bcdf\u3000ghjk\t'])(
    'matches in another case, with spaces or dashes: %j',
    (entered) => expect(isEntryOf(entered, 'BCDFGHJK')).toBe(true),
  )

  test.each([
    'ＢＣＤＦ－ＧＨＪＫ',
    'bcdf_ghjk',
    'BCDF.GHJK',
    'BCDF–GHJK',
    'BCDFGHJK!',
    'BCDF\u0000GHJK',
    'BCDF\u200bGHJK',
    'ВCDFGHJK',
    'BCDFGHJ\u212a',
    '',
    ['BCDFGHJK'],
    undefined,
  ])('does not match with other characters: %j', (entered) =>
    expect(isEntryOf(entered, 'BCDFGHJK')).toBe(false),
  )

  test('is normalized in ASCII only: ſ (long s) is not S', () => {
    expect(isEntryOf('ſſſſſſſſ', 'SSSSSSSS')).toBe(false)
    expect(isEntryOf('ssssssss', 'SSSSSSSS')).toBe(true)
  })

  test.each([
    ['BCDF-GHJK', undefined],
    ['bcdf ghjk', undefined],
    ['ＢＣＤＦ－ＧＨＪＫ', 'characters'],
    ['bcdf–ghjk', 'characters'],
    ['ВCDF-GHJK', 'characters'],
    ['bcdf_ghjk', 'characters'],
    ['BCDF-GHJ0', 'letters'],
    ['BODF-GHJK', 'letters'],
    ['BCDF-GHJY', 'letters'],
    ['BCDF-GHJ', 'length'],
    ['BCDF-GHJK-L', 'length'],
    ['', 'length'],
  ])('%j has the fault %s', (entered, fault) => expect(faultOf(entered)).toBe(fault))
})
