import { describe, expect, test } from 'vitest'
import { assertClientAssertion } from './client-assertion.ts'

const ISSUER = 'https://login.example.test'
const TOKEN = `${ISSUER}/token`
const ctx = { oidc: { issuer: ISSUER, urlFor: (name: string) => `${ISSUER}/${name}` } }
const exp = Math.floor(Date.now() / 1000) + 60

const accept = (claims: Record<string, unknown>) =>
  assertClientAssertion(ctx as Parameters<typeof assertClientAssertion>[0], claims)

describe('a client assertion', () => {
  test.each([ISSUER, TOKEN])('is accepted for %s', (aud) => expect(() => accept({ aud, exp })).not.toThrow())

  test.each([
    [[ISSUER]],
    [[TOKEN]],
    [[ISSUER, TOKEN]],
    [[ISSUER, 'https://elsewhere.example.test']],
    [[]],
    [''],
    [undefined],
    [null],
    [true],
    [{ [ISSUER]: ISSUER }],
    [`${ISSUER}/`],
    [`${TOKEN}/`],
    [`${ISSUER}/par`],
    [` ${ISSUER}`],
    ['HTTPS://login.example.test'],
    ['https://login.example.test:443'],
    ['https://login.example.test@elsewhere.example.test'],
  ])('is refused for the audience %j (CVE-2025-27370)', (aud) => expect(() => accept({ aud, exp })).toThrow())
})
