import { expect, test } from 'vitest'
import { describe } from './outcome.ts'

test('escapes a line end in a value, which could imitate another field', () => {
  const text = describe({
    access_token: 'a',
    token_type: 'bearer',
    userinfo: { sub: '1', name: 'x\n  sub  2' },
  })
  expect(text).toContain('name  x\\u000a  sub  2')
})

test('shows instants as dates too, and ignores values that are no instants', () => {
  const claims = { exp: 1_790_000_000, iat: 1e300, nbf: 'soon' }
  const text = describe({ access_token: 'a', token_type: 'bearer', id_token_claims: claims })
  expect(text).toContain('exp  1790000000 (2026-09-21T14:13:20.000Z)')
  expect(text).toContain('iat  1e+300\n')
})

test('explains an opaque access token', () => {
  expect(describe({ access_token: 'a', token_type: 'bearer' })).toContain('opaque')
})
