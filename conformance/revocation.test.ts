import * as client from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, post, send } from './support/http.ts'
import { CALLBACK, createRelyingParty, type RelyingParty } from './support/relying-party.ts'

const SIGNED = 'https://signed.api.example.test'

let server: TestServer
let web: ClientDocument
let spa: ClientDocument
let service: ClientDocument
let app: RelyingParty

beforeAll(async () => {
  server = await startTestServer()
  const { clients, resources, users } = server.admin
  await users.create({ username: 'ada', password: PASSWORD })
  await resources.create({ identifier: SIGNED, scope: 'tides:read', format: 'jwt' })
  const app_ = { redirect_uris: [CALLBACK], first_party: true }
  web = await clients.create({ type: 'web', client_name: 'Dashboard', ...app_ })
  spa = await clients.create({ type: 'spa', client_name: 'Chart', ...app_ })
  service = await clients.create({ type: 'service', client_name: 'Bot', resources: [SIGNED] })
  app = await createRelyingParty(server.issuer, web)
})
afterAll(() => server?.remove())

async function signIn(
  party = app,
  scope = 'openid offline_access',
): Promise<{ access_token: string; refresh_token: string }> {
  const request = await party.request({ scope, prompt: 'consent' })
  const tokens = await request.redeem((await new EndUser(server.issuer).signInAndAgree(request.url)).leftTo)
  return { access_token: tokens.access_token, refresh_token: tokens.refresh_token ?? '' }
}

function revoke(token: string, as: ClientDocument, hint?: string): Promise<Answer> {
  const form = { token, ...(hint === undefined ? {} : { token_type_hint: hint }) }
  return post(`${server.issuer}/revoke`, form, { as })
}

async function isAccepted(accessToken: string): Promise<boolean> {
  const { status } = await send(`${server.issuer}/userinfo`, {
    headers: { authorization: `Bearer ${accessToken}` },
  })
  expect([200, 401]).toContain(status)
  return status === 200
}

function refresh(refresh_token: string, as: ClientDocument): Promise<Answer> {
  return post(`${server.issuer}/token`, { grant_type: 'refresh_token', refresh_token }, { as })
}

describe('the revocation endpoint', () => {
  test('revokes a refresh token with all its access tokens (RFC 7009 §2.1)', async () => {
    const first = await signIn()
    const second = await client.refreshTokenGrant(app.config, first.refresh_token)
    expect(await isAccepted(first.access_token)).toBe(true)
    await client.tokenRevocation(app.config, second.refresh_token ?? '')
    for (const token of [first.access_token, second.access_token]) expect(await isAccepted(token)).toBe(false)
    expect(await refresh(second.refresh_token ?? '', web)).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant' },
    })
  })

  test('keeps other sign-ins of the person (RFC 7009 §2.1)', async () => {
    const [phone, laptop] = [await signIn(), await signIn()]
    await revoke(phone.refresh_token, web)
    expect(await isAccepted(laptop.access_token)).toBe(true)
    expect((await refresh(laptop.refresh_token, web)).status).toBe(200)
  })

  test('revokes an access token at once (RFC 7009 §2.1)', async () => {
    const { access_token } = await signIn()
    expect((await revoke(access_token, web)).status).toBe(200)
    expect(await isAccepted(access_token)).toBe(false)
  })

  test.for(['access_token', 'refresh_token', 'nonsense'])(
    'finds either kind of token with the hint %s (RFC 7009 §2.1)',
    async (hint) => {
      const one = await signIn()
      await revoke(one.refresh_token, web, hint)
      expect((await refresh(one.refresh_token, web)).status).toBe(400)
      const two = await signIn()
      await revoke(two.access_token, web, hint)
      expect(await isAccepted(two.access_token)).toBe(false)
    },
  )

  test('accepts tokens of public clients without authentication (RFC 7009 §2.1)', async () => {
    const { refresh_token, access_token } = await signIn(await createRelyingParty(server.issuer, spa))
    expect((await revoke(refresh_token, spa)).status).toBe(200)
    expect(await isAccepted(access_token)).toBe(false)
    expect((await refresh(refresh_token, spa)).status).toBe(400)
  })

  test('revokes a service’s token (RFC 7009 §2.1)', async () => {
    const { body } = await post(
      `${server.issuer}/token`,
      { grant_type: 'client_credentials' },
      { as: service },
    )
    const token = String(body.access_token)
    expect((await revoke(token, service)).status).toBe(200)
    const introspected = await post(`${server.issuer}/introspect`, { token }, { as: service })
    expect(introspected.body).toEqual({ active: false })
  })

  test('returns 200 for a token of another client, and keeps it (RFC 7009 §2.1)', async () => {
    const { access_token, refresh_token } = await signIn()
    for (const thief of [service, spa]) {
      for (const token of [access_token, refresh_token]) {
        const answer = await revoke(token, thief)
        expect([200, 400]).toContain(answer.status)
      }
    }
    expect(await isAccepted(access_token)).toBe(true)
    expect((await refresh(refresh_token, web)).status).toBe(200)
  })

  test.for(['x'.repeat(43), "'; delete from oidc_token; --", '__proto__', 'a.b.c', 'z'.repeat(50_000)])(
    'returns 200 for the unknown token %s (RFC 7009 §2.2)',
    async (token) => {
      expect(await revoke(token, web)).toMatchObject({ status: 200, text: '' })
    },
  )

  test('returns 200 for a second revocation (RFC 7009 §2.2)', async () => {
    const { refresh_token } = await signIn()
    for (let times = 0; times < 2; times++) expect((await revoke(refresh_token, web)).status).toBe(200)
    const { refresh_token: raced } = await signIn()
    const answers = await Promise.all(Array.from({ length: 10 }, () => revoke(raced, web)))
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200))
  })

  test('leaves no active token when a refresh is concurrent (RFC 7009 §2.1)', async () => {
    for (let round = 0; round < 5; round++) {
      const { refresh_token } = await signIn()
      const [refreshed] = await Promise.all([refresh(refresh_token, web), revoke(refresh_token, web)])
      // The sign-in was revoked, and so are the tokens of the concurrent refresh.
      if (refreshed.status === 200) {
        expect(await isAccepted(String(refreshed.body.access_token))).toBe(false)
        expect((await refresh(String(refreshed.body.refresh_token), web)).status).toBe(400)
      }
    }
  })

  test('returns unsupported_token_type for a JWT (RFC 7009 §2.2.1)', async () => {
    const form = { grant_type: 'client_credentials', resource: SIGNED }
    const { body } = await post(`${server.issuer}/token`, form, { as: service })
    expect(await revoke(String(body.access_token), service)).toMatchObject({
      status: 400,
      body: { error: 'unsupported_token_type' },
    })
  })

  test.for<[string, string, number, () => Parameters<typeof post>[2]]>([
    ['with a wrong secret', 'token=x', 401, () => ({ as: { ...web, client_secret: 'wrong' } })],
    ['without the secret', 'token=x', 401, () => ({ as: { client_id: web.client_id } })],
    ['without a token', '', 400, () => ({ as: web })],
    ['with two tokens', 'token=x&token=y', 400, () => ({ as: web })],
    ['with a NUL byte', 'token=%00', 400, () => ({ as: web })],
  ])('rejects %s (RFC 7009 §2.1)', async ([, form, status, options]) => {
    expect(await post(`${server.issuer}/revoke`, form, options())).toMatchObject({
      status,
      body: { error: status === 401 ? 'invalid_client' : 'invalid_request' },
    })
  })
})
