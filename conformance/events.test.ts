import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { EventDocument } from '../src/admin/events.ts'
import { later } from './support/clock.ts'
import { cloneBrowser, createTestClient, type TestClient } from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post, rows, sql } from './support/http.ts'

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'
const NEWER_FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0'
const CURL = 'curl/8.5.0'
const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

let server: TestServer
let app: TestClient
let username: string
let people = 0

beforeAll(async () => {
  server = await startTestServer({ TRUSTED_PROXIES: '127.0.0.1' })
  app = await createTestClient(server, { first_party: true })
})
afterAll(() => server?.remove())
beforeEach(async () => {
  username = `ada${people++}`
  await server.admin.users.create({ username, password: PASSWORD })
})

function browser(userAgent = FIREFOX, address = '203.0.113.7'): EndUser {
  const user = new EndUser(server.issuer)
  user.headers = { 'user-agent': userAgent, 'x-forwarded-for': address }
  return user
}

const list = (filter: Record<string, unknown> = {}) => server.admin.events.list({ user: username, ...filter })
const typesOf = (events: readonly EventDocument[]) => events.map(({ type }) => type)

/** The answer of a person to a user code; approving may take more than one page. */
async function decide(user: EndUser, userCode: string, action: string): Promise<void> {
  let page = await user.submit(await user.open(`/device?user_code=${userCode}`))
  page = await user.submit(page, {}, action)
  if (page.$('button[name=action][value=approve]').length > 0) await user.submit(page, {}, 'approve')
}

async function signIn(user = browser()): Promise<EndUser> {
  await app.getCode({}, user, username)
  return user
}

describe('the audit log', () => {
  test('records the actions of a person with account, address and session', async () => {
    const user = browser()
    const page = await user.open((await app.request()).url)
    const again = await user.submit(page, { username, password: 'wrong wrong wrong' })
    await user.submit(again, { username, password: PASSWORD })
    const { refreshToken } = await app.getTokens({}, user, username)
    const { body } = await app.refresh(refreshToken)
    await post(`${server.url}/revoke`, { token: String(body.refresh_token) }, { as: app.client })
    await user.submit(await user.open('/logout'), {}, 'approve')

    const events = await list()
    expect(typesOf(events)).toEqual([
      'account.created',
      'sign_in.refused',
      'sign_in.accepted',
      'session.created',
      'token.issued',
      'token.rotated',
      'token.revoked',
      'session.ended',
    ])
    const [, refused, accepted, created, issued, , revoked, ended] = events
    for (const event of [refused, accepted, created, ended])
      expect(event).toMatchObject({
        username,
        address: '203.0.113.7',
        user_agent: FIREFOX,
        request: expect.stringMatching(/^[\w-]{36}$/),
        account: expect.any(String),
      })
    for (const event of [refused, accepted, issued, revoked])
      expect(event?.client_id).toBe(app.client.client_id)
    expect(issued?.session).toBe(created?.session)
    expect(ended?.session).toBe(created?.session)
    expect(ended?.detail).toEqual({ by: 'person', reason: 'signed_out' })
    expect(created?.detail).toEqual({ amr: ['pwd'], acr: 'urn:sallyport:acr:password' })
  })

  test('records consents, devices and token requests with client, account, address and request', async () => {
    const third = await createTestClient(server)
    const user = browser()
    const { refreshToken } = await third.getTokens({ scope: 'openid email' }, user, username)
    await third.refresh(refreshToken)
    const tv = await server.admin.clients.create({ type: 'device', client_name: 'Bridge TV' })
    for (const action of ['approve', 'deny']) {
      const { body } = await post(`${server.url}/device/authorize`, { scope: 'openid' }, { as: tv })
      await decide(user, String(body.user_code), action)
      const form = { grant_type: DEVICE_GRANT, device_code: String(body.device_code) }
      const answer = await post(`${server.url}/token`, form, { as: tv })
      expect(answer.status, answer.text).toBe(action === 'approve' ? 200 : 400)
    }

    const events = await list()
    const session = events.find(({ type }) => type === 'session.created')?.session
    const { client_id } = third.client
    expect(events.map((event) => [event.type, event.client_id, event.session])).toEqual([
      ['account.created', undefined, undefined],
      ['sign_in.accepted', client_id, undefined],
      ['session.created', undefined, session],
      ['consent.given', client_id, session],
      ['token.issued', client_id, session],
      ['token.rotated', client_id, session],
      ['consent.given', tv.client_id, session],
      ['device.approved', tv.client_id, session],
      ['token.issued', tv.client_id, session],
      ['device.denied', tv.client_id, session],
    ])
    expect(session).toMatch(/^[\w-]{20,}$/)
    expect(new Set(events.slice(1).map(({ request }) => request)).size).toBe(9)
    for (const event of events.slice(1))
      expect(event).toMatchObject({
        account: events[0]?.account,
        request: expect.stringMatching(/^[\w-]{36}$/),
        // The device's own requests come from another network than the browser.
        address: event.type.startsWith('token.')
          ? expect.stringMatching(/^(127\.0\.0\.1|::1)$/)
          : '203.0.113.7',
      })
    expect(events[3]?.detail).toMatchObject({ granted: { openid: 'openid email' }, refused: { openid: '' } })
  })

  test('records each token that a client revokes once, and no unknown token', async () => {
    const first = await app.getTokens({}, browser(), username)
    const second = await app.getTokens({}, browser(), username)
    const revoke = (token: string, as: TestClient['client'] = app.client) =>
      post(`${server.url}/revoke`, { token }, { as })
    expect((await revoke('never-was')).status).toBe(200)
    const robber = await createTestClient(server)
    await revoke(first.accessToken, robber.client)
    expect(await list({ types: ['token.revoked'] })).toEqual([])
    for (const token of [first.accessToken, second.refreshToken]) {
      await revoke(token)
      await revoke(token)
    }
    const revoked = await list({ types: ['token.revoked'] })
    expect(revoked).toHaveLength(2)
    for (const event of revoked)
      expect(event).toMatchObject({
        client_id: app.client.client_id,
        session: expect.any(String),
        grant: expect.any(String),
        request: expect.any(String),
      })
  })

  test('records changes by operators, without the values', async () => {
    const { clients, users, events } = server.admin
    const client = await clients.create({ type: 'service', client_name: 'Robot' })
    const { client_id } = client
    await clients.update({ client_id, client_name: 'Robot with a secret name' })
    await clients.rotateSecret({ client_id, overlap_seconds: 60 })
    await clients.delete({ client_id })
    const ofClient = await events.list({ client_id })
    expect(ofClient.map(({ type, detail }) => [type, detail])).toEqual([
      ['client.created', { by: 'operator' }],
      ['client.updated', { by: 'operator', changed: ['client_name'] }],
      ['client.secret_rotated', { by: 'operator', overlap_seconds: 60 }],
      ['client.deleted', { by: 'operator' }],
    ])
    const { sub } = await users.show({ username })
    await users.disable({ username })
    await users.enable({ username })
    await users.setPassword({ username, password: PASSWORD })
    await users.delete({ username })
    expect(typesOf(await events.list({ user: sub }))).toEqual([
      'account.created',
      'account.disabled',
      'account.enabled',
      'account.password_changed',
      'account.deleted',
    ])
    expect(typesOf(await events.list({ types: ['key.created'] }))).toHaveLength(3)
  })

  test.skipIf(isPglite)('contains no usable secret (SQL needs Postgres) (ASVS 16.2.5)', async () => {
    const user = browser()
    const typed = 'a password typed into the wrong field'
    const page = await user.open((await app.request()).url)
    await user.submit(page, { username: typed, password: PASSWORD })
    await user.submit(await user.open((await app.request()).url), {
      username,
      password: PASSWORD,
      remember: 'yes',
    })
    const tokens = await app.getTokens({}, user, username)
    const { body: rotated } = await app.refresh(tokens.refreshToken)
    const tv = await server.admin.clients.create({ type: 'device', client_name: 'Bridge TV' })
    const { body: device } = await post(`${server.url}/device/authorize`, { scope: 'openid' }, { as: tv })
    await decide(user, String(device.user_code), 'approve')
    await post(`${server.url}/revoke`, { token: tokens.accessToken }, { as: app.client })
    const cookies = user.jar.getCookiesSync(server.issuer).map(({ value }) => value)
    expect(cookies.filter((value) => value.length > 20).length).toBeGreaterThanOrEqual(2)
    await user.submit(await user.open('/logout'), {}, 'approve')
    const events = await rows<{ text: string }>(server, 'select to_jsonb(event)::text as text from event')
    const text = events.map((event) => event.text).join('\n')
    expect(events.length).toBeGreaterThan(10)
    const secrets = [
      typed,
      PASSWORD,
      tokens.accessToken,
      tokens.refreshToken,
      tokens.idToken,
      tokens.code,
      tokens.form.code_verifier,
      tokens.request.url.searchParams.get('state'),
      rotated.access_token,
      rotated.refresh_token,
      device.device_code,
      device.user_code,
      app.client.client_secret,
      ...cookies,
    ]
      .map(String)
      .filter((value) => value.length > 8)
    expect(secrets.length).toBeGreaterThan(13)
    for (const secret of secrets) expect(text.includes(secret), secret).toBe(false)
  })

  test.skipIf(isPglite)(
    'records an expired session when its row is deleted (SQL needs Postgres)',
    async () => {
      await signIn()
      await sql(server, `update oidc_session set expires_at = now() - interval '2 hours'`)
      await server.admin.cleanup.run()
      expect(typesOf(await list()).at(-1)).toBe('session.expired')
    },
  )

  test.skipIf(isPglite)(
    'keeps events for the configured time, and no longer (SQL needs Postgres)',
    async () => {
      const other = await startTestServer({ EVENT_RETENTION_SECONDS: '3600' })
      try {
        await other.admin.users.create({ username: 'ada', password: PASSWORD })
        // An identifier of two hours ago.
        const old = new Date(Date.now() - 7_200_000).getTime().toString(16).padStart(12, '0')
        const id = `${old.slice(0, 8)}-${old.slice(8)}-7000-8000-000000000000`
        await sql(other, `insert into event (id, type) values ($1, 'sign_in.refused')`, [id])
        const { events } = await other.admin.cleanup.run()
        expect(events).toBe(1)
        expect(typesOf(await other.admin.events.list({}))).toContain('account.created')
      } finally {
        await other.remove()
      }
    },
  )
})

describe('the audit log records suspicious use', () => {
  test('of a session cookie after signing out, at most once a minute', async () => {
    const user = await signIn()
    const stolen = cloneBrowser(user)
    await user.submit(await user.open('/logout'), {}, 'approve')
    const useIt = async () => {
      // The answer deletes the cookie.
      const thief = cloneBrowser(stolen)
      thief.headers = { 'user-agent': CURL, 'x-forwarded-for': '198.51.100.9' }
      expect((await app.authorizeSilently(thief)).get('error')).toBe('login_required')
    }
    for (let times = 0; times < 3; times++) await useIt()
    const events = await list({ anomalies: true })
    expect(typesOf(events)).toEqual(['session.used_after_end'])
    expect(events[0]).toMatchObject({
      address: '198.51.100.9',
      user_agent: CURL,
      session: expect.any(String),
    })
    if (isPglite) return
    await sql(server, `update oidc_session set misused_at = misused_at - interval '61 seconds'`)
    await Promise.all([useIt(), useIt(), useIt()])
    expect(await list({ anomalies: true })).toHaveLength(2)
  })

  test('of a session cookie after its idle or absolute limit', async () => {
    for (const [seconds, limit] of [
      [31 * 60, 'idle'],
      [25 * 3600, 'absolute'],
    ] as const) {
      const user = await signIn()
      const cookie = await user.jar.getCookieString(server.issuer)
      await later(seconds, async () => {
        const thief = browser()
        thief.headers.cookie = cookie
        expect((await app.authorizeSilently(thief)).get('error')).toBe('login_required')
      })
      const [event] = (await list({ types: ['session.used_after_expiry'] })).slice(-1)
      expect(event?.detail).toEqual({ limit })
    }
  })

  test('of a session from another browser or two networks at once, not after a browser update', async () => {
    const user = await signIn()
    const use = async (userAgent: string, address: string) => {
      user.headers = { 'user-agent': userAgent, 'x-forwarded-for': address }
      expect((await app.authorizeSilently(user)).has('code')).toBe(true)
      return typesOf(await list({ anomalies: true }))
    }
    expect(await use(NEWER_FIREFOX, '203.0.113.7')).toEqual([])
    expect(await use(NEWER_FIREFOX, '203.0.113.99')).toEqual([])
    expect(await use(NEWER_FIREFOX, '198.51.100.9')).toEqual(['session.second_network'])
    expect(await use(CURL, '198.51.100.9')).toEqual(['session.second_network', 'session.second_browser'])
    await later(20 * 60, async () => {
      expect(await use(CURL, '2001:db8:1:2::1')).toHaveLength(2)
    })
  })

  test('of a rotated refresh token, with the revocation of its session', async () => {
    const user = browser()
    const { refreshToken } = await app.getTokens({}, user, username)
    await app.refresh(refreshToken)
    if (isPglite) return
    await sql(
      server,
      `update oidc_token set consumed_at = consumed_at - interval '1 minute' where consumed_at is not null`,
    )
    expect((await app.refresh(refreshToken)).body.error).toBe('invalid_grant')
    const events = await list({ types: ['refresh_token.reused', 'session.ended'] })
    expect(typesOf(events).sort()).toEqual(['refresh_token.reused', 'session.ended'])
    expect(events.find(({ type }) => type === 'session.ended')?.detail).toEqual({
      by: 'server',
      reason: 'refresh_token_reused',
    })
  })
})

describe('the list of audit events', () => {
  test('is filtered by person, client, session, type and time, and ordered by time', async () => {
    const { events } = server.admin
    await signIn()
    await pause(20)
    const middle = new Date().toISOString()
    await signIn()
    const created = await list({ types: ['session.created'] })
    expect(created).toHaveLength(2)
    expect(await list({ types: ['session.created'], since: middle })).toEqual(created.slice(1))
    expect(await list({ types: ['session.created'], until: middle })).toEqual(created.slice(0, 1))
    expect(await list({ types: ['session.created'], limit: 1 })).toEqual(created.slice(1))
    expect(await list({ types: ['session.created'], after: created[0]?.id })).toEqual(created.slice(1))
    expect(await list({ types: ['session.created'], before: created[1]?.id })).toEqual(created.slice(0, 1))
    expect(await list({ types: ['session.created'], anomalies: true })).toEqual([])
    expect(await events.list({ session: created[0]?.session })).toEqual(created.slice(0, 1))
    await expect(events.list({ types: ['session.create'] })).rejects.toThrow(/did you mean session.created/)
    await expect(events.list({ user: 'nobody' })).rejects.toThrow(/no person called nobody/)
    await expect(events.list({ limit: 0 })).rejects.toThrow(/at least 1/)
    await expect(events.list({ since: 'yesterday' })).rejects.toThrow(/since/)
  })
})
