import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { later } from './support/clock.ts'
import { createTestClient, type TestClient } from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post, send } from './support/http.ts'

const API = 'https://tides.example.test'
const CREDENTIALS = { username: 'ada', password: PASSWORD }
const PASSWORD_ACR = 'urn:sallyport:acr:password'
const REMEMBERED_ACR = 'urn:sallyport:acr:remembered'
const DAY_SECONDS = 86_400

let server: TestServer
let app: TestClient

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create(CREDENTIALS)
  await server.admin.resources.create({ identifier: API, scope: 'tides:read', format: 'jwt' })
  app = await createTestClient(server, { first_party: true, resources: [API] })
})
afterAll(() => server?.remove())

async function rememberedUser(): Promise<EndUser> {
  const user = new EndUser(server.issuer)
  await user.submit(await user.open((await app.request()).url), { ...CREDENTIALS, remember: 'yes' })
  return user
}

const claimsOf = (acr: unknown) => ({ claims: JSON.stringify({ id_token: { acr } }) })
const authenticationIn = (idToken: string) => {
  const { acr, amr, auth_time } = decodeJwt(idToken)
  return { acr, amr, auth_time }
}

describe('the authentication context', () => {
  test('is in every ID token, after the code and after each refresh (OIDC Core §2)', async () => {
    const before = Math.floor(Date.now() / 1000)
    const { idToken, refreshToken } = await app.getTokens()
    const first = authenticationIn(idToken)
    expect(first).toEqual({ acr: PASSWORD_ACR, amr: ['pwd'], auth_time: expect.any(Number) })
    expect(first.auth_time).toBeGreaterThanOrEqual(before - 1)
    expect(first.auth_time).toBeLessThanOrEqual(before + 5)
    await later(600, async () => {
      const { body } = await app.refresh(refreshToken)
      expect(authenticationIn(String(body.id_token))).toEqual(first)
    })
  })

  test('is in JWTs and introspection for resource servers (RFC 9470 §6)', async () => {
    const parameters = { resource: API, scope: 'openid tides:read' }
    const jwt = await app.getCode(parameters)
    const { body } = await app.token({ ...jwt.form, resource: API })
    const expected = { acr: PASSWORD_ACR, auth_time: expect.any(Number) }
    expect(decodeJwt(String(body.access_token))).toMatchObject(expected)
    const { accessToken } = await app.getTokens()
    const answer = await post(`${server.url}/introspect`, { token: accessToken }, { as: app.client })
    expect(answer.body).toMatchObject({ active: true, ...expected })
  })

  test('is announced with its levels (OIDC Discovery §3)', async () => {
    const { body } = await send(`${server.url}/.well-known/openid-configuration`)
    expect(body.acr_values_supported).toEqual([REMEMBERED_ACR, PASSWORD_ACR])
  })
})

describe('a request for an acr level', () => {
  test.for([
    ['acr_values', { acr_values: PASSWORD_ACR }],
    ['acr_values with an unknown one', { acr_values: `urn:example:gold ${PASSWORD_ACR}` }],
    ['an essential acr', claimsOf({ essential: true, value: PASSWORD_ACR })],
    ['essential acrs', claimsOf({ essential: true, values: ['urn:example:gold', PASSWORD_ACR] })],
  ] as const)('%s requires one sign-in (OIDC Core §5.5.1.1)', async ([, parameters]) => {
    const user = await rememberedUser()
    await later(DAY_SECONDS * 2, async () => {
      expect((await app.authorizeSilently(user)).has('code')).toBe(true)
      expect((await app.authorizeSilently(user, { ...parameters })).get('error')).toBe('login_required')
      const request = await app.request({ ...parameters })
      const page = await user.submit(await user.open(request.url), CREDENTIALS)
      const claims = (await request.redeem(page.leftTo)).claims()
      expect(claims?.acr).toBe(PASSWORD_ACR)
      expect(claims?.amr).toEqual(['pwd'])
      expect(Number(claims?.auth_time) * 1000).toBeGreaterThan(Date.now() - 60_000)
      expect((await app.authorizeSilently(user, { ...parameters })).has('code')).toBe(true)
    })
  })

  test.for([
    ['remembered, from a person who entered the password', { acr_values: REMEMBERED_ACR }],
    [
      'remembered, essential, from who has given a password',
      claimsOf({ essential: true, value: REMEMBERED_ACR }),
    ],
    ['an unknown level that is not essential', { acr_values: 'urn:example:gold' }],
    ['of no sense', claimsOf('gold')],
    ['of null', claimsOf(null)],
  ] as const)('%s shows no page (OIDC Core §5.5.1.1)', async ([, parameters]) => {
    const { user } = await app.getCode()
    expect((await app.authorizeSilently(user, { ...parameters })).has('code')).toBe(true)
  })

  test('that is unsupported is rejected when it is essential (OIDC Unmet Authentication Requirements)', async () => {
    const { user } = await app.getCode()
    for (const parameters of [
      claimsOf({ essential: true, value: 'urn:example:gold' }),
      claimsOf({ essential: true, values: ['urn:example:gold'] }),
    ]) {
      const page = await user.open((await app.request(parameters)).url)
      expect(page.leftTo?.searchParams.get('error')).toBe('unmet_authentication_requirements')
    }
  })
})
