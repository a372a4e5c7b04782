import { setTimeout as pause } from 'node:timers/promises'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { startChildServer } from './support/child-server.ts'
import { createTestClient, expectTokenError, type TestClient } from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post, rows, send, sql } from './support/http.ts'
import {
  answer,
  breakOff,
  firstly,
  hang,
  type LogoutReceiver,
  neverEnd,
  startLogoutReceiver,
  verifyLogoutToken,
} from './support/logout-receiver.ts'

const ALLOWED = { OUTBOUND_ALLOWED_NETWORKS: '127.0.0.0/8' }
const EVENT = 'http://schemas.openid.net/event/backchannel-logout'
const DEVICE_GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:device_code'
/** The first retry pause, the polling interval, and a reserve for a busy machine. */
const RETRY_SECONDS = 15

let server: TestServer
let receiver: LogoutReceiver
let count = 0

beforeAll(async () => {
  server = await startTestServer(ALLOWED)
  receiver = await startLogoutReceiver()
})
afterAll(async () => {
  await server?.remove()
  await receiver?.close()
})

type LogoutClient = TestClient & Readonly<{ path: string }>

/** A client with a `backchannel_logout_uri` of its own. */
async function createLogoutClient(
  registration: Record<string, unknown> = {},
  at = server,
): Promise<LogoutClient> {
  const path = `/app-${++count}`
  const backchannel_logout_uri = receiver.url + path
  const app = await createTestClient(at, { first_party: true, backchannel_logout_uri, ...registration })
  return { ...app, path }
}

/** Creates an account for one test, so that logouts of other tests do not count. */
async function createPerson(at = server): Promise<string> {
  const username = `person-${++count}`
  await at.admin.users.create({ username, password: PASSWORD })
  return username
}

/** Deletes the client with its pending logouts, so that other tests do not wait for a hanging app. */
const remove = ({ client }: TestClient) => server.admin.clients.delete({ client_id: client.client_id })

async function signOut(user: EndUser): Promise<void> {
  const page = await user.open('/logout')
  await user.submit(page, {}, 'approve')
}

const sidOf = ({ idToken }: { idToken: string }) => decodeJwt(idToken).sid
const jtisAt = (path: string) => receiver.at(path).map(({ claims }) => claims.jti)

/** Makes the next attempt due. On the embedded database, the test waits for it instead. */
async function letPausePass({ client }: TestClient, attempts?: number): Promise<void> {
  if (isPglite) return
  await sql(
    server,
    `update backchannel_logout set next_attempt_at = now(), attempts = coalesce($2, attempts) where client_id = $1`,
    [client.client_id, attempts ?? null],
  )
  await sql(server, `select pg_notify('sallyport_change', 'backchannel_logout')`)
}

const expectLogged = (event: string, { client }: TestClient) =>
  vi.waitFor(() => expect(server.logged()).toMatch(new RegExp(`"${event}".*${client.client_id}`)), 5_000)

const pending = async ({ client }: TestClient): Promise<number> =>
  (await rows(server, `select from backchannel_logout where client_id = $1`, [client.client_id])).length

const eventsOf = ({ client }: TestClient) =>
  rows<{ type: string; account_sub: string; detail: { jti: string; attempts: number } }>(
    server,
    `select type, account_sub, detail from event where client_id = $1 and type like 'backchannel%' order by id`,
    [client.client_id],
  )

describe('signing out', () => {
  let username: string
  let user: EndUser

  beforeEach(async () => {
    username = await createPerson()
    user = new EndUser(server.issuer)
  })

  test('sends each app of the session a logout token with the sid of its ID token (Back-Channel Logout §2.4)', async () => {
    const apps = [
      await createLogoutClient({}),
      await createLogoutClient({ id_token_signed_response_alg: 'ES256' }),
      await createLogoutClient({ id_token_signed_response_alg: 'EdDSA' }),
    ]
    const signedIn = []
    for (const app of apps) signedIn.push(await app.getTokens({}, user, username))
    const elsewhere = await apps[0]?.getTokens({}, new EndUser(server.issuer), username)
    await signOut(user)

    const jtis = new Set<unknown>()
    for (const [index, app] of apps.entries()) {
      const [first] = await receiver.expect(app.path)
      if (!first) throw new Error('nothing arrived')
      expect(first.contentType).toMatch(/^application\/x-www-form-urlencoded/)
      const { payload, protectedHeader } = await verifyLogoutToken(server, app, first)
      const idToken = signedIn[index]?.idToken ?? ''
      const { alg, kid } = decodeProtectedHeader(idToken)
      expect(protectedHeader).toEqual({ alg, kid, typ: 'logout+jwt' })
      const { sub, sid } = decodeJwt(idToken)
      expect(sid).toBeTypeOf('string')
      const { iat = 0, exp = 0, jti, ...claims } = payload
      expect(claims).toEqual({
        iss: server.issuer,
        aud: app.client.client_id,
        sub,
        sid,
        events: { [EVENT]: {} },
      })
      expect(exp - iat).toBe(120)
      expect(Math.abs(iat - Date.now() / 1000)).toBeLessThan(30)
      jtis.add(jti)
    }
    expect(jtis.size).toBe(apps.length)
    // The session in the other browser stays.
    expect(receiver.at(apps[0]?.path ?? '').map(({ claims }) => claims.sid)).not.toContain(
      elsewhere && sidOf(elsewhere),
    )
  })

  test('does not wait for apps that hang', async () => {
    const app = await createLogoutClient()
    receiver.behave(app.path, hang)
    await app.getTokens({}, user, username)
    const startedAt = performance.now()
    await signOut(user)
    // A request to an app ends after 2.5 s.
    expect(performance.now() - startedAt).toBeLessThan(2_000)
    expect((await app.authorizeSilently(user)).get('error')).toBe('login_required')
    await receiver.expect(app.path)
    await remove(app)
  })

  test('sends a logout token without sid to an app that does not require it (Back-Channel Logout §2.2, §2.4)', async () => {
    const app = await createLogoutClient({ backchannel_logout_session_required: false })
    const { idToken } = await app.getTokens({}, user, username)
    expect(decodeJwt(idToken)).not.toHaveProperty('sid')
    await signOut(user)
    const [first] = await receiver.expect(app.path)
    expect(first?.claims).toMatchObject({ sub: decodeJwt(idToken).sub })
    expect(first?.claims).not.toHaveProperty('sid')
  })

  test('keeps the sid in ID tokens of a refresh', async () => {
    const app = await createLogoutClient()
    const tokens = await app.getTokens({}, user, username)
    const { body } = await app.refresh(tokens.refreshToken)
    expect(decodeJwt(String(body.id_token)).sid).toBe(sidOf(tokens))
  })

  test('sends no logout token when the person declines', async () => {
    const app = await createLogoutClient()
    await app.getTokens({}, user, username)
    await user.submit(await user.open('/logout'), {}, 'deny')
    await signOut(user)
    expect(await receiver.expect(app.path)).toHaveLength(1)
  })
})

describe('delivery to an app', () => {
  async function signOutOf(app: LogoutClient): Promise<void> {
    const user = new EndUser(server.issuer)
    await app.getTokens({}, user, await createPerson())
    await signOut(user)
  }

  test.concurrent.for([
    ['answers 500', answer(500)],
    ['answers 400', answer(400)],
    ['redirects', answer(302)],
    ['hangs', hang],
    ['breaks off', breakOff],
    ['never ends its body', neverEnd],
  ] as const)('that %s is retried with the same jti', async ([, behaviour]) => {
    const app = await createLogoutClient()
    receiver.behave(app.path, firstly(behaviour))
    await signOutOf(app)
    await receiver.expect(app.path)
    await expectLogged('backchannel.error', app)
    await letPausePass(app)
    const [first, second] = await receiver.expect(app.path, 2, RETRY_SECONDS)
    expect(second?.claims.jti).toBe(first?.claims.jti)
    if (!second) throw new Error('nothing arrived')
    await verifyLogoutToken(server, app, second)
    await expectLogged('backchannel.success', app)
    expect(receiver.at('/elsewhere')).toEqual([])
    if (isPglite) return
    expect(await pending(app)).toBe(0)
    expect(await eventsOf(app)).toMatchObject([
      { type: 'backchannel_logout.delivered', detail: { jti: first?.claims.jti, attempts: 2 } },
    ])
  })

  test.skipIf(isPglite)('with a long queue of others that hang is not delayed for long', async () => {
    const hanging = await Promise.all(Array.from({ length: 5 }, () => createLogoutClient()))
    for (const { path } of hanging) receiver.behave(path, hang)
    const well = await createLogoutClient()
    const username = await createPerson()
    for (let browser = 0; browser < 8; browser++) {
      const user = new EndUser(server.issuer)
      for (const app of [...hanging, well]) await app.getTokens({}, user, username)
    }
    await server.admin.users.signOut({ username })
    // 40 hanging requests of 2.5 s on all eight concurrent deliveries would take 12.5 s.
    await receiver.expect(well.path, 8, 5)
    for (const app of hanging) await remove(app)
  })

  test.skipIf(isPglite)('that is down is retried until it listens', async () => {
    const app = await createLogoutClient()
    await receiver.close()
    await signOutOf(app)
    await expectLogged('backchannel.error', app)
    await receiver.open()
    await letPausePass(app)
    await receiver.expect(app.path, 1, RETRY_SECONDS)
  })

  test.skipIf(isPglite)('is retried after 5, 15, 45 … seconds, at most an hour', async () => {
    const app = await createLogoutClient()
    receiver.behave(app.path, answer(503))
    await signOutOf(app)
    for (const [index, seconds] of [5, 15, 45, 135, 405, 1215, 3600, 3600].entries()) {
      if (index > 0) await letPausePass(app, index)
      const [row] = await vi.waitFor(
        async () => {
          const found = await rows<{ pause: number; attempts: number }>(
            server,
            `select extract(epoch from next_attempt_at - now())::float8 as pause, attempts
             from backchannel_logout where client_id = $1 and attempts = $2`,
            [app.client.client_id, index + 1],
          )
          expect(found).toHaveLength(1)
          return found
        },
        { timeout: 8_000, interval: 20 },
      )
      expect(row?.pause).toBeGreaterThan(seconds * 0.9 - 1)
      expect(row?.pause).toBeLessThanOrEqual(Math.min(seconds * 1.2, 3600))
    }
    expect(new Set(jtisAt(app.path)).size).toBe(1)
  })

  test.skipIf(isPglite)('is given up after a day, with an audit event', async () => {
    const app = await createLogoutClient()
    receiver.behave(app.path, answer(500))
    await signOutOf(app)
    await receiver.expect(app.path)
    await sql(
      server,
      `update backchannel_logout set created_at = now() - interval '24 hours' where client_id = $1`,
      [app.client.client_id],
    )
    await vi.waitFor(async () => expect(await pending(app)).toBe(0), { timeout: 25_000, interval: 200 })
    expect(await eventsOf(app)).toMatchObject([
      { type: 'backchannel_logout.given_up', detail: { jti: jtisAt(app.path)[0] } },
    ])
  })
})

describe('a revocation by the operator or the server', () => {
  test.for([
    ['sign-out', (username: string) => server.admin.users.signOut({ username })],
    ['disable', (username: string) => server.admin.users.disable({ username })],
    ['delete', (username: string) => server.admin.users.delete({ username })],
    [
      'set-password',
      (username: string) => server.admin.users.setPassword({ username, password: `${PASSWORD} 2` }),
    ],
  ] as const)('by users %s sends a logout token for each session', async ([, end]) => {
    const app = await createLogoutClient()
    const username = await createPerson()
    const signedIn = []
    for (let browser = 0; browser < 3; browser++)
      signedIn.push(await app.getTokens({}, new EndUser(server.issuer), username))
    await end(username)
    const received = await receiver.expect(app.path, 3)
    expect(received.map(({ claims }) => claims.sid).toSorted()).toEqual(signedIn.map(sidOf).toSorted())
  })

  test.skipIf(isPglite)('by refresh-token reuse sends a logout token', async () => {
    const app = await createLogoutClient()
    const tokens = await app.getTokens({}, new EndUser(server.issuer), await createPerson())
    await app.refresh(tokens.refreshToken)
    await sql(server, `delete from oidc_refresh_answer`)
    await sql(
      server,
      `update oidc_token set consumed_at = consumed_at - interval '1 minute' where consumed_at is not null`,
    )
    expectTokenError(await app.refresh(tokens.refreshToken))
    const [first] = await receiver.expect(app.path)
    expect(first?.claims.sid).toBe(sidOf(tokens))
  })

  test('sends no logout token to a disabled client', async () => {
    const [app, other] = [await createLogoutClient(), await createLogoutClient()]
    const [username, user] = [await createPerson(), new EndUser(server.issuer)]
    for (const known of [app, other]) await known.getTokens({}, user, username)
    await server.admin.clients.update({ client_id: app.client.client_id, disabled: true })
    await server.admin.users.signOut({ username })
    await receiver.expect(other.path)
    expect(receiver.at(app.path)).toEqual([])
  })

  test('sends a device a logout token for its own tokens, not for the browser that approved it', async () => {
    const path = `/tv-${++count}`
    const tv = await server.admin.clients.create({
      type: 'device',
      client_name: 'Bridge TV',
      backchannel_logout_uri: receiver.url + path,
    })
    const [app, username, user] = [
      await createLogoutClient(),
      await createPerson(),
      new EndUser(server.issuer),
    ]
    await app.getTokens({}, user, username)
    const { body } = await post(
      `${server.url}/device/authorize`,
      { scope: 'openid offline_access' },
      { as: tv },
    )
    let page = await user.submit(await user.open(String(body.verification_uri)), {
      user_code: String(body.user_code),
    })
    for (let pages = 0; pages < 3 && page.$('button[value=approve]').length > 0; pages++)
      page = await user.submit(page, {}, 'approve')
    const form = { grant_type: DEVICE_GRANT_TYPE, device_code: String(body.device_code) }
    const tokens = await post(`${server.url}/token`, form, { as: tv })
    expect(tokens.status, tokens.text).toBe(200)

    await signOut(user)
    await receiver.expect(app.path)
    expect(receiver.at(path)).toEqual([])
    await server.admin.users.signOut({ username })
    const [first] = await receiver.expect(path)
    expect(first?.claims).toMatchObject({ sub: decodeJwt(String(tokens.body.id_token)).sub })
    expect(first?.claims).not.toHaveProperty('sid')
  })
})

describe('a crash', () => {
  test('between logout and delivery loses nothing: the next server sends the same jti', async () => {
    const before = await startTestServer(ALLOWED)
    const app = await createLogoutClient({}, before)
    const username = await createPerson(before)
    await before.stop()
    const child = await startChildServer({ ...before.env, LOG_LEVEL: 'info' })
    receiver.behave(app.path, firstly(hang))
    const user = new EndUser(before.issuer, child.url)
    const { code } = await app.getCode({}, user, username)
    expect(code).toBeTruthy()
    await signOut(user)
    const [first] = await receiver.expect(app.path)
    await child.kill()
    if (!isPglite) await sql(before, `update backchannel_logout set next_attempt_at = now()`)
    await child.start()
    const [, second] = await receiver.expect(app.path, 2, RETRY_SECONDS)
    expect(second?.claims.jti).toBe(first?.claims.jti)
    if (second) await verifyLogoutToken({ issuer: before.issuer, url: child.url }, app, second)
    await child.kill()
    await before.remove()
  })
})

describe.skipIf(isPglite)('several instances', () => {
  test('send each app one logout token per session', async () => {
    const others = [await server.startAnother(), await server.startAnother()]
    // All of them subscribe to change notifications.
    await pause(1_500)
    const apps = await Promise.all(Array.from({ length: 4 }, () => createLogoutClient()))
    const username = await createPerson()
    for (let browser = 0; browser < 8; browser++) {
      const user = new EndUser(server.issuer)
      for (const app of apps) await app.getTokens({}, user, username)
    }
    await server.admin.users.signOut({ username })
    for (const app of apps) {
      await vi.waitFor(async () => expect(await pending(app)).toBe(0), 10_000)
      expect(receiver.at(app.path)).toHaveLength(8)
      expect(new Set(receiver.at(app.path).map(({ claims }) => claims.sid)).size).toBe(8)
      expect(await eventsOf(app)).toHaveLength(8)
    }
    for (const other of others) await other.stop()
  })
})

describe('a delivered logout token', () => {
  test.skipIf(isPglite)('is neither in the database nor in the log', async () => {
    const app = await createLogoutClient()
    const user = new EndUser(server.issuer)
    await app.getTokens({}, user, await createPerson())
    await signOut(user)
    const [first] = await receiver.expect(app.path)
    await vi.waitFor(async () => expect(await eventsOf(app)).toHaveLength(1))
    const [, payload = '', signature = ''] = first?.token.split('.') ?? []
    for (const text of [await server.dump(), server.logged()])
      for (const part of [payload, signature]) expect(text).not.toContain(part)
  })

  test('is counted in the metrics', async () => {
    const text = await (await fetch(`${server.managementUrl}/metrics`)).text()
    expect(text).toMatch(/^sallyport_backchannel_logouts_total\{outcome="delivered"\} [1-9]/m)
    expect(text).toMatch(/^sallyport_backchannel_logouts_total\{outcome="failed"\} [1-9]/m)
    expect(text).toMatch(/^sallyport_backchannel_logouts_pending \d+/m)
  })
})

describe('a backchannel_logout_uri', () => {
  let strict: TestServer

  beforeAll(async () => {
    strict = await startTestServer()
  })
  afterAll(() => strict?.remove())

  test.for([
    'http://app.example.test/logout',
    'https://127.0.0.1/logout',
    'http://localhost:3000/logout',
    'https://[::1]/logout',
    'https://169.254.169.254/latest',
    'https://app.example.test/logout#now',
    'https://app.example.test/logout#',
    'https://user:password@app.example.test/logout',
    'https://{tenant}.example.test/logout',
    `https://app.example.test/${'$'}{application.session.host}`,
    'https://*.example.test/logout',
    'https://app.example.test/log out',
    'file:///etc/passwd',
    'data:text/plain,x',
    'gopher://app.example.test/',
    '/logout',
  ])('rejects %s (Back-Channel Logout §2.2)', async (backchannel_logout_uri) => {
    const known = await createTestClient(strict)
    const registration = { type: 'service', client_name: 'App', backchannel_logout_uri }
    await expect(strict.admin.clients.create(registration)).rejects.toThrow(/backchannel_logout_uri/)
    const { client_id } = known.client
    await expect(strict.admin.clients.update({ client_id, backchannel_logout_uri })).rejects.toThrow(
      /backchannel_logout_uri/,
    )
  })

  test.skipIf(isPglite)('is checked again when connecting (CWE-918)', async () => {
    const app = await createLogoutClient(
      { backchannel_logout_uri: 'https://app.example.test/logout' },
      strict,
    )
    await sql(
      strict,
      `update oidc_client set metadata = metadata || jsonb_build_object('backchannel_logout_uri', $1::text)`,
      [receiver.url + app.path],
    )
    const user = new EndUser(strict.issuer)
    await app.getTokens({}, user, await createPerson(strict))
    await signOut(user)
    await vi.waitFor(() => expect(strict.logged()).toMatch(/"backchannel.error"/), 5_000)
    expect(receiver.at(app.path)).toEqual([])
  })

  test('can be in an allowed network; discovery announces support (Back-Channel Logout §2.1)', async () => {
    const { client } = await createLogoutClient()
    const document = await server.admin.clients.show({ client_id: client.client_id })
    expect(document.backchannel_logout_uri).toMatch(/^http:\/\/127/)
    const { body } = await send(`${server.url}/.well-known/openid-configuration`)
    expect(body).toMatchObject({
      backchannel_logout_supported: true,
      backchannel_logout_session_supported: true,
    })
  })
})
