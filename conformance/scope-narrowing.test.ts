import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { createTestClient, expectTokenError, type TestClient, tokensOf } from './support/code-flow.ts'
import { approveDevice, pollDevice, startDevice } from './support/device-flow.ts'
import { EndUser } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, post, send, sql } from './support/http.ts'

const TIDES = 'https://tides.example.test/'
const ALL = 'openid profile email offline_access'
const EVERYTHING = { scope: ALL, prompt: 'consent' }

let server: TestServer
let app: TestClient
let ada: EndUser

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create({
    username: 'ada',
    name: 'Ada Lovelace',
    email: 'ada@example.test',
    password: PASSWORD,
  })
  await server.admin.resources.create({
    identifier: TIDES,
    scope: 'tides:read tides:write',
    format: 'opaque',
  })
})
afterAll(() => server?.remove())
beforeEach(async () => {
  app = await createTestClient(server, { resources: [TIDES] })
  ada = new EndUser(server.issuer)
})

/** Does the same as `clients update --scope`. */
const narrow = (scope: string, more: Record<string, unknown> = {}, { client_id } = app.client) =>
  server.admin.clients.update({ client_id, scope, ...more })
const userinfo = (accessToken: string): Promise<Answer> =>
  send(`${server.issuer}/userinfo`, { headers: { authorization: `Bearer ${accessToken}` } })
const introspect = async (token: string, as = app.client) =>
  (await post(`${server.issuer}/introspect`, { token }, { as })).body

describe('a client that lost a scope (RFC 6749 §6)', () => {
  test('gets no claims of it, and introspection returns the remaining scopes', async () => {
    const { accessToken, refreshToken } = await app.getTokens(EVERYTHING, ada)
    expect((await userinfo(accessToken)).body).toMatchObject({
      email: 'ada@example.test',
      name: 'Ada Lovelace',
    })
    await narrow('openid profile offline_access')
    const { status, body } = await userinfo(accessToken)
    expect(status).toBe(200)
    expect(body).toMatchObject({ name: 'Ada Lovelace' })
    expect(body).not.toHaveProperty('email')
    expect(body).not.toHaveProperty('email_verified')
    for (const token of [accessToken, refreshToken])
      expect(await introspect(token)).toMatchObject({ active: true, scope: 'openid profile offline_access' })
  })

  test('gets the remaining scopes at a refresh, named in the answer', async () => {
    const { refreshToken } = await app.getTokens(EVERYTHING, ada)
    await narrow('openid profile offline_access')
    expectTokenError(await app.refresh(refreshToken, { scope: 'openid email' }), 'invalid_scope')
    const answer = await app.refresh(refreshToken)
    expect(answer.body).toMatchObject({ scope: 'openid profile offline_access' })
    const refreshed = tokensOf(answer)
    expect((await userinfo(refreshed.accessToken)).body).not.toHaveProperty('email')
    // The successor was issued without the scope, so it does not regain it.
    await narrow(ALL)
    const again = tokensOf(await app.refresh(refreshed.refreshToken))
    expect(again.scope).toBe('openid profile offline_access')
    expect((await userinfo(again.accessToken)).body).not.toHaveProperty('email')
  })

  test('is rejected at userinfo and gets no ID tokens without openid', async () => {
    const { accessToken, refreshToken } = await app.getTokens(EVERYTHING, ada)
    await narrow('profile offline_access')
    const refused = await userinfo(accessToken)
    expect(refused.status).toBe(403)
    expect(refused.headers.get('www-authenticate')).toContain('insufficient_scope')
    const answer = await app.refresh(refreshToken)
    expect(answer.body).toMatchObject({ scope: 'profile offline_access' })
    expect(answer.body).not.toHaveProperty('id_token')
  })

  test('cannot use its refresh token without offline_access', async () => {
    const { accessToken, refreshToken } = await app.getTokens(EVERYTHING, ada)
    await narrow('openid profile email')
    expect(await introspect(refreshToken)).toEqual({ active: false })
    expectTokenError(await app.refresh(refreshToken))
    expect((await userinfo(accessToken)).status).toBe(200)
  })

  test('cannot use a token without any scope left, and can still revoke it', async () => {
    const { accessToken, refreshToken } = await app.getTokens(EVERYTHING, ada)
    await narrow('tides:read')
    for (const token of [accessToken, refreshToken])
      expect(await introspect(token)).toEqual({ active: false })
    expect((await userinfo(accessToken)).status).toBe(401)
    expectTokenError(await app.refresh(refreshToken))
    expect((await post(`${server.issuer}/revoke`, { token: refreshToken }, { as: app.client })).status).toBe(
      200,
    )
    await narrow(ALL)
    expectTokenError(await app.refresh(refreshToken))
    expect((await userinfo(accessToken)).status).toBe(401)
  })

  test('redeems an earlier code for the remaining scopes', async () => {
    const { form } = await app.getCode(EVERYTHING, ada)
    await narrow('openid profile')
    const answer = await app.token(form)
    expect(answer.body).toMatchObject({ scope: 'openid profile' })
    expect((await userinfo(tokensOf(answer).accessToken)).body).not.toHaveProperty('email')
  })

  test('is not granted it by an earlier pushed request (RFC 9126 §4)', async () => {
    const { searchParams } = (await app.request(EVERYTHING)).url
    const { body } = await post(`${server.issuer}/par`, searchParams, { as: app.client })
    await narrow('openid profile')
    const request_uri = String(body.request_uri)
    const query = new URLSearchParams({ client_id: app.client.client_id, request_uri })
    const { leftTo } = await ada.open(`/authorize?${query}`)
    expect(leftTo?.searchParams.get('error')).toBe('invalid_scope')
  })

  test('is not granted it by a consent page that was open', async () => {
    const { url } = await app.request(EVERYTHING)
    const consent = await ada.submit(await ada.open(url), { username: 'ada', password: PASSWORD })
    expect(consent.$('button[value=approve]')).toHaveLength(1)
    await narrow('openid profile')
    const { leftTo } = await ada.submit(consent, {}, 'approve')
    expect(leftTo?.searchParams.get('error')).toBe('invalid_scope')
    expect(leftTo?.searchParams.get('code')).toBeNull()
  })

  test('is not listed with it on the account page', async () => {
    await server.admin.users.create({ username: 'bob', password: PASSWORD })
    const bob = new EndUser(server.issuer)
    await app.getTokens(EVERYTHING, bob, 'bob')
    const listed = async () => (await bob.open('/account')).$('main').text()
    expect(await listed()).toContain('See your e-mail address')
    await narrow('openid profile offline_access')
    expect(await listed()).not.toContain('See your e-mail address')
  })

  test.skipIf(isPglite)('has its family ended by a spent token all the same (RFC 9700 §4.14.2)', async () => {
    const { refreshToken } = await app.getTokens(EVERYTHING, ada)
    const second = tokensOf(await app.refresh(refreshToken))
    await sql(server, `update oidc_token set consumed_at = consumed_at - interval '1 hour'`)
    await narrow('tides:read')
    expectTokenError(await app.refresh(refreshToken))
    await narrow(ALL)
    expectTokenError(await app.refresh(second.refreshToken))
  })

  test.skipIf(isPglite)('is bound at every instance within a second', async () => {
    const { accessToken } = await app.getTokens(EVERYTHING, ada)
    const { url } = await server.startAnother()
    const there = async () =>
      (await send(`${url}/userinfo`, { headers: { authorization: `Bearer ${accessToken}` } })).body
    expect(await there()).toHaveProperty('email')
    await narrow('openid profile offline_access')
    await vi.waitFor(async () => expect(await there()).not.toHaveProperty('email'), { timeout: 5_000 })
  })
})

describe('a device', () => {
  let tv: ClientDocument
  beforeEach(async () => {
    tv = await server.admin.clients.create({ type: 'device', client_name: 'Bridge TV' })
  })

  test('gets the remaining scopes for an approved code', async () => {
    const started = await startDevice(server, tv, { scope: ALL })
    await approveDevice(ada, started)
    await narrow('openid profile offline_access', {}, tv)
    const answer = await pollDevice(server.issuer, started, tv)
    expect(answer.body).toMatchObject({ scope: 'openid profile offline_access' })
    expect((await userinfo(tokensOf(answer).accessToken)).body).not.toHaveProperty('email')
  })

  test('gets the remaining scopes at a refresh', async () => {
    const started = await startDevice(server, tv, { scope: ALL })
    await approveDevice(ada, started)
    const { refreshToken } = tokensOf(await pollDevice(server.issuer, started, tv))
    await narrow('openid offline_access', {}, tv)
    const form = { grant_type: 'refresh_token', refresh_token: refreshToken }
    const answer = await post(`${server.issuer}/token`, form, { as: tv })
    expect(answer.body).toMatchObject({ scope: 'openid offline_access' })
  })
})

describe('an API', () => {
  const TARGET = { scope: 'openid tides:read tides:write offline_access', prompt: 'consent', resource: TIDES }
  /** The resource server introspects tokens itself. */
  let api: ClientDocument
  let identifier: string
  beforeEach(async () => {
    api = await server.admin.clients.create({ type: 'service', client_name: 'Tides' })
    identifier = `${TIDES}${api.client_id}`
    await server.admin.resources.create({
      identifier,
      scope: 'tides:read tides:write',
      format: 'opaque',
      introspection_client_ids: [api.client_id],
    })
    app = await createTestClient(server, { resources: [identifier], first_party: true })
  })

  async function getApiTokens() {
    const { form } = await app.getCode({ ...TARGET, resource: identifier }, ada)
    return tokensOf(await app.token({ ...form, resource: identifier }))
  }

  test('sees only the remaining scopes of a token at introspection', async () => {
    const { accessToken, refreshToken } = await getApiTokens()
    expect(await introspect(accessToken, api)).toMatchObject({
      active: true,
      scope: 'tides:read tides:write',
    })
    await narrow('openid tides:read offline_access')
    expect(await introspect(accessToken, api)).toMatchObject({ active: true, scope: 'tides:read' })
    const answer = await app.refresh(refreshToken, { resource: identifier })
    expect(answer.body).toMatchObject({ scope: 'tides:read' })
    await narrow('openid offline_access')
    expect(await introspect(accessToken, api)).toEqual({ active: false })
  })

  test('sees a token as inactive when the client lost the API', async () => {
    const { accessToken, refreshToken } = await getApiTokens()
    await narrow('openid offline_access', { resources: [] })
    expect(await introspect(accessToken, api)).toEqual({ active: false })
    expectTokenError(await app.refresh(refreshToken, { resource: identifier }), 'invalid_target')
    const answer = await app.refresh(refreshToken)
    expect(answer.body).toMatchObject({ scope: 'openid offline_access' })
  })

  test('sees a token as inactive when the API was deleted', async () => {
    const { accessToken, refreshToken } = await getApiTokens()
    await server.admin.resources.delete({ identifier })
    expect(await introspect(accessToken, app.client)).toEqual({ active: false })
    expect((await app.refresh(refreshToken)).body).toMatchObject({ scope: 'openid offline_access' })
  })

  test('sees only the remaining scopes of a service’s token', async () => {
    const service = await server.admin.clients.create({
      type: 'service',
      client_name: 'Tide Reader',
      resources: [identifier],
    })
    const form = { grant_type: 'client_credentials', scope: 'tides:read tides:write', resource: identifier }
    const { accessToken } = tokensOf(await post(`${server.issuer}/token`, form, { as: service }))
    await narrow('tides:read', {}, service)
    expect(await introspect(accessToken, api)).toMatchObject({ active: true, scope: 'tides:read' })
    await narrow('', { resources: [] }, service)
    expect(await introspect(accessToken, api)).toEqual({ active: false })
  })
})
