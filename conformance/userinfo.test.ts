import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { later } from './support/clock.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, post, send } from './support/http.ts'
import { CALLBACK, createRelyingParty } from './support/relying-party.ts'

const RESOURCE = 'https://opaque.api.example.test'
const PROFILE = ['family_name', 'given_name', 'locale', 'name', 'preferred_username', 'updated_at']
const ORIGIN = new URL(CALLBACK).origin

let server: TestServer
let web: ClientDocument
let spa: ClientDocument
let sub: string

beforeAll(async () => {
  server = await startTestServer()
  const { clients, resources, users } = server.admin
  const ada = await users.create({
    username: 'ada',
    password: PASSWORD,
    email: 'ada@example.test',
    name: 'Ada Lovelace',
    given_name: 'Ada',
    family_name: 'Lovelace',
    locale: 'en-GB',
  })
  sub = ada.sub
  await users.create({ username: 'grace', password: PASSWORD })
  await resources.create({ identifier: RESOURCE, scope: 'tides:read', format: 'opaque' })
  const app = { redirect_uris: [CALLBACK], resources: [RESOURCE], first_party: true }
  web = await clients.create({ type: 'web', client_name: 'Dashboard', ...app })
  spa = await clients.create({ type: 'spa', client_name: 'Chart', ...app })
})
afterAll(() => server?.remove())

async function accessToken(
  parameters: Record<string, string> = {},
  { as = web, username = 'ada' }: { as?: ClientDocument; username?: string } = {},
): Promise<string> {
  const request = await (await createRelyingParty(server.issuer, as)).request(parameters)
  const page = await new EndUser(server.issuer).signInAndAgree(request.url, { username })
  return (await request.redeem(page.leftTo)).access_token
}

function userinfo(token: string, headers: Record<string, string> = {}): Promise<Answer> {
  return send(`${server.issuer}/userinfo`, { headers: { authorization: `Bearer ${token}`, ...headers } })
}

function expectInvalidToken(answer: Answer): void {
  expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_token' } })
  expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer .*error="invalid_token"/)
}

describe('userinfo', () => {
  test.for([
    ['openid', ['sub']],
    ['openid profile', ['sub', ...PROFILE]],
    ['openid email', ['sub', 'email', 'email_verified']],
    ['openid profile email', ['sub', ...PROFILE, 'email', 'email_verified']],
  ] as const)('returns the claims of %s (OIDC Core §5.4)', async ([scope, claims]) => {
    const { status, headers, body } = await userinfo(await accessToken({ scope }))
    expect(status).toBe(200)
    expect(headers.get('content-type')).toMatch(/^application\/json/)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(Object.keys(body).toSorted()).toEqual([...claims].toSorted())
    expect(body.sub).toBe(sub)
    if (scope.includes('email'))
      expect(body).toMatchObject({ email: 'ada@example.test', email_verified: false })
  })

  test('accepts the token in a POST, by header or in the form (OIDC Core §5.3.1, RFC 6750 §2.2)', async () => {
    const access_token = await accessToken()
    const url = `${server.issuer}/userinfo`
    const byForm = await post(url, { access_token })
    const byHeader = await send(url, { method: 'POST', headers: { authorization: `Bearer ${access_token}` } })
    for (const { status, body } of [byForm, byHeader])
      expect({ status, sub: body.sub }).toEqual({ status: 200, sub })
  })

  test('returns 401 without a token, with a challenge without an error (RFC 6750 §3.1)', async () => {
    const answer = await send(`${server.issuer}/userinfo`)
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer realm=/)
    expect(answer.headers.get('www-authenticate')).not.toContain('error=')
  })

  test.for(['x'.repeat(43), 'a.b.c', 'x', 'z'.repeat(8000), "'or1=1--", '%00'])(
    'returns 401 invalid_token for the token %s (RFC 6750 §3.1)',
    async (token) => expectInvalidToken(await userinfo(token)),
  )

  test('rejects a token in the query, which would appear in logs (RFC 6750 §2.3)', async () => {
    const token = await accessToken()
    const answer = await send(`${server.issuer}/userinfo?access_token=${token}`)
    expect([400, 401]).toContain(answer.status)
    expect(answer.body).not.toHaveProperty('sub')
    expect(server.logged()).not.toContain(token)
  })

  test('rejects more than one token or method (RFC 6750 §2)', async () => {
    const access_token = await accessToken()
    const url = `${server.issuer}/userinfo`
    const twice = await post(url, { access_token }, { headers: { authorization: `Bearer ${access_token}` } })
    expect(twice).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    const dupes = await post(url, [
      ['access_token', access_token],
      ['access_token', access_token],
    ])
    expect([400, 401]).toContain(dupes.status)
    expect(dupes.body).not.toHaveProperty('sub')
  })

  test('rejects a token with the audience of an API (RFC 9068 §4, RFC 8707 §2)', async () => {
    const parameters = { scope: 'openid tides:read', resource: RESOURCE }
    const request = await (await createRelyingParty(server.issuer, web)).request(parameters)
    const page = await new EndUser(server.issuer).signInAndAgree(request.url)
    const { body } = await post(
      `${server.issuer}/token`,
      {
        grant_type: 'authorization_code',
        code: page.leftTo?.searchParams.get('code') ?? '',
        redirect_uri: CALLBACK,
        code_verifier: request.verifier,
        resource: RESOURCE,
      },
      { as: web },
    )
    expect(body.scope).toBe('tides:read')
    const answer = await userinfo(String(body.access_token))
    expect([401, 403]).toContain(answer.status)
    expect(answer.body).not.toHaveProperty('sub')
  })

  test('rejects refresh tokens (RFC 6750 §3.1)', async () => {
    const request = await (await createRelyingParty(server.issuer, web)).request()
    const page = await new EndUser(server.issuer).signInAndAgree(request.url)
    expectInvalidToken(await userinfo((await request.redeem(page.leftTo)).refresh_token ?? ''))
  })

  test('rejects an expired token (RFC 6750 §3.1)', async () => {
    const token = await accessToken()
    expect((await userinfo(token)).status).toBe(200)
    await later(920, async () => expectInvalidToken(await userinfo(token)))
  })

  test('rejects the tokens of a disabled person or client (RFC 6750 §3.1)', async () => {
    const token = await accessToken({}, { username: 'grace' })
    await server.admin.users.disable({ username: 'grace' })
    expectInvalidToken(await userinfo(token))
    const other = await accessToken({}, { as: spa })
    await server.admin.clients.update({ client_id: spa.client_id, disabled: true })
    expectInvalidToken(await userinfo(other))
    await server.admin.clients.update({ client_id: spa.client_id, disabled: false })
  })
})

describe('browser code of other origins (CORS)', () => {
  const allowed = ({ headers }: Answer) => headers.get('access-control-allow-origin')

  test('may call userinfo and token from the exact origin a public client is registered at (RFC 9700 §2.6)', async () => {
    const token = await accessToken({}, { as: spa })
    const answer = await userinfo(token, { origin: ORIGIN })
    expect(answer.status).toBe(200)
    expect(allowed(answer)).toBe(ORIGIN)
    expect(answer.headers.has('access-control-allow-credentials')).toBe(false)
    const form = { grant_type: 'refresh_token', refresh_token: 'x' }
    const refused = await post(`${server.issuer}/token`, form, { as: spa, headers: { origin: ORIGIN } })
    expect(refused.body.error).toBe('invalid_grant')
    expect(allowed(refused)).toBe(ORIGIN)
  })

  test.for([
    'https://evil.example.test',
    `${ORIGIN}.evil.test`,
    ORIGIN.replace('https:', 'http:'),
    `${ORIGIN}:8443`,
    'https://sub.app.example.test',
    'https://app.example.tes',
    'null',
  ])('cannot call them from %s (CVE-2024-41657)', async (origin) => {
    const token = await accessToken({}, { as: spa })
    const asked = await userinfo(token, { origin })
    const form = { grant_type: 'refresh_token', refresh_token: 'x' }
    const redeemed = await post(`${server.issuer}/token`, form, { as: spa, headers: { origin } })
    for (const answer of [asked, redeemed]) {
      expect(allowed(answer)).toBeNull()
      expect(answer.status).toBe(400)
    }
    expect(asked.body).not.toHaveProperty('sub')
  })

  test('cannot act as a confidential client, whose secret must not be in a browser (RFC 9700 §2.6)', async () => {
    const form = { grant_type: 'refresh_token', refresh_token: 'x' }
    const answer = await post(`${server.issuer}/token`, form, { as: web, headers: { origin: ORIGIN } })
    expect(allowed(answer)).toBeNull()
    expect(allowed(await userinfo(await accessToken(), { origin: ORIGIN }))).toBeNull()
  })

  test('cannot call the authorization endpoint or the pages (RFC 9700 §2.6)', async () => {
    for (const path of ['/authorize', '/device', '/interaction/x', '/logout', '/']) {
      for (const method of ['OPTIONS', 'GET']) {
        const headers = { origin: ORIGIN, 'access-control-request-method': 'GET' }
        const answer = await send(`${server.issuer}${path}`, { method, headers })
        expect(allowed(answer), `${method} ${path}`).toBeNull()
      }
    }
  })

  test('may read discovery and keys from anywhere', async () => {
    for (const path of [
      '/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server',
      '/jwks',
    ]) {
      const answer = await send(`${server.issuer}${path}`, {
        headers: { origin: 'https://any.example.test' },
      })
      expect(answer.status).toBe(200)
      expect(['*', 'https://any.example.test']).toContain(allowed(answer))
    }
  })
})
