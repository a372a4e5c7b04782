import { expect, test } from 'vitest'
import { describe } from './outcome.ts'

test('a value with a line end cannot pose as another field', () => {
  const text = describe({
    access_token: 'a',
    token_type: 'bearer',
    userinfo: { sub: '1', name: 'x\n  sub  2' },
  })
  expect(text).toContain('name  x\\u000a  sub  2')
})

test('instants are shown as dates too, whatever a server calls one', () => {
  const claims = { exp: 1_790_000_000, iat: 1e300, nbf: 'soon' }
  const text = describe({ access_token: 'a', token_type: 'bearer', id_token_claims: claims })
  expect(text).toContain('exp  1790000000 (2026-09-21T14:13:20.000Z)')
  expect(text).toContain('iat  1e+300\n')
})

test('a person is told why an opaque token says nothing', () => {
  expect(describe({ access_token: 'a', token_type: 'bearer' })).toContain('opaque')
})
