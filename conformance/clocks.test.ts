import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { type ChildServer, startChildServer } from './support/child-server.ts'
import { shiftClock, withWrongClock } from './support/clock.ts'
import {
  createTestClient,
  expectRefreshed,
  type TestClient,
  tokensOf,
  userinfoStatus,
} from './support/code-flow.ts'
import { runCommand } from './support/command-line.ts'
import { approveDevice, pollDevice, startDevice } from './support/device-flow.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { letPollIntervalPass, post, rows } from './support/http.ts'

const API = 'https://tides.example.test'
const CREDENTIALS = { username: 'ada', password: PASSWORD }
const OFFLINE = { scope: 'openid offline_access', prompt: 'consent' }

let server: TestServer
let app: TestClient
let service: ClientDocument
let tv: ClientDocument

beforeAll(async () => {
  server = await startTestServer()
  const { clients, resources, users } = server.admin
  await users.create(CREDENTIALS)
  await resources.create({ identifier: API, scope: 'tides:read', format: 'jwt' })
  service = await clients.create({ type: 'service', client_name: 'Robot', resources: [API] })
  tv = await clients.create({ type: 'device', client_name: 'Bridge TV' })
  app = await createTestClient(server, { first_party: true })
})
afterAll(() => server?.remove())

describe.each([5, 120, -120, 86_400, -86_400])(
  'two instances, the clock of one of which is %i s ahead',
  (clockAheadSeconds) => {
    let shifted: ChildServer

    beforeAll(async () => {
      const { PORT: _, MANAGEMENT_PORT: __, ...settings } = server.env
      shifted = await startChildServer(settings, { clockAheadSeconds })
    })
    afterAll(() => shifted?.kill())

    /** One browser that uses both instances. */
    function browser() {
      const here = new EndUser(server.issuer)
      const there = new EndUser(server.issuer, shifted.url, here.jar)
      return { here, there }
    }
    const isSignedIn = async (user: EndUser) => (await app.authorizeSilently(user)).has('code')
    const introspect = async (at: string, token: string) =>
      (await post(`${at}/introspect`, { token }, { as: app.client })).body

    test('keep a session active at both, whichever instance began it', async () => {
      for (const begins of ['here', 'there'] as const) {
        const user = browser()
        await app.getCode({}, user[begins])
        for (let times = 0; times < 2; times++) {
          expect(await isSignedIn(user.there), begins).toBe(true)
          expect(await isSignedIn(user.here), begins).toBe(true)
        }
      }
    })

    test('keep a browser remembered at both', async () => {
      const user = browser()
      const page = await user.there.open((await app.request()).url)
      await user.there.submit(page, { ...CREDENTIALS, remember: 'yes' })
      for (const at of ['here', 'there'] as const) {
        user.here.jar.setCookieSync('sallyport_session=; Path=/; Max-Age=0', server.issuer)
        expect(await isSignedIn(user[at]), at).toBe(true)
      }
    })

    test('redeem and introspect codes and tokens of each other', async () => {
      for (const [from, to] of [
        [server.url, shifted.url],
        [shifted.url, server.url],
      ] as const) {
        const { form } = await app.getCode(OFFLINE, new EndUser(server.issuer, from))
        const first = tokensOf(await app.token(form, { at: to }))
        expect(await introspect(from, first.accessToken)).toMatchObject({ active: true })
        expect(await userinfoStatus({ url: from }, first.accessToken)).toBe(200)
        const second = expectRefreshed(await app.refresh(first.refreshToken, {}, { at: from }))
        const third = expectRefreshed(await app.refresh(second.refreshToken, {}, { at: to }))
        expect(await introspect(from, third.refreshToken)).toMatchObject({ active: true })
        expect(await introspect(to, third.accessToken)).toMatchObject({ active: true })
      }
    })

    test('issue tokens with the same times (OpenID Connect Core §2, RFC 7662 §2.2, RFC 9068 §2.2)', async () => {
      const isNow = (time: unknown) => Math.abs(Number(time) - Date.now() / 1000) < 60
      for (const at of [server.url, shifted.url]) {
        const user = new EndUser(server.issuer, at)
        const tokens = tokensOf(await app.token((await app.getCode({}, user)).form, { at }))
        const idToken = decodeJwt(tokens.idToken)
        const introspected = await introspect(at, tokens.accessToken)
        const jwt = await post(
          `${at}/token`,
          { grant_type: 'client_credentials', resource: API },
          { as: service },
        )
        const accessToken = decodeJwt(String(jwt.body.access_token))
        for (const { iat, exp } of [
          introspected,
          accessToken,
          ...(clockAheadSeconds < 900 ? [idToken] : []),
        ]) {
          expect(isNow(iat)).toBe(true)
          expect([600, 900]).toContain(Number(exp) - Number(iat))
        }
        expect([idToken, introspected].map(({ auth_time }) => isNow(auth_time))).toEqual([true, true])
      }
    })

    test('accept forms of each other’s pages, and requests pushed to each other (RFC 9126)', async () => {
      for (const [first, then] of [
        ['here', 'there'],
        ['there', 'here'],
      ] as const) {
        const user = browser()
        const other = await createTestClient(server)
        const { client_id } = other.client
        const { searchParams } = (await other.request()).url
        const pushed = await post(`${user[first].target}/par`, searchParams, { as: other.client })
        const request_uri = String(pushed.body.request_uri)
        const login = await user[then].open(`/authorize?${new URLSearchParams({ client_id, request_uri })}`)
        const consent = await user[first].submit(login, CREDENTIALS)
        const done = await user[then].submit(consent, {}, 'approve')
        expect(done.leftTo?.searchParams.has('code'), done.html.slice(0, 500)).toBe(true)
      }
    })

    test('approve a device that started at the other (RFC 8628)', async () => {
      for (const [asks, approves] of [
        [server.url, shifted.url],
        [shifted.url, server.url],
      ] as const) {
        const started = await startDevice({ issuer: asks }, tv)
        const person = new EndUser(server.issuer, approves)
        expect((await pollDevice(asks, started, tv)).body.error).toBe('authorization_pending')
        await approveDevice(person, started)
        await letPollIntervalPass(server)
        expectRefreshed(await pollDevice(asks, started, tv))
      }
    })

    test('record events in the order in which they happened', async () => {
      const order: string[] = []
      for (const from of ['here', 'there', 'here'] as const) {
        const username = `person${clockAheadSeconds}.${order.length}`
        const { sub } = await server.admin.users.create({ username, password: PASSWORD })
        await app.getCode({}, browser()[from], username)
        order.push(sub)
      }
      const events = await server.admin.events.list({ types: ['sign_in.accepted'], limit: order.length })
      expect(events.map(({ account }) => account)).toEqual(order)
    })

    test('report the clock offset in the log, the metrics and the readiness report', async () => {
      const isRefused = Math.abs(clockAheadSeconds) >= 30
      const direction = clockAheadSeconds > 0 ? 'ahead of' : 'behind'
      const warning = new RegExp(
        `${Math.abs(clockAheadSeconds)}\\.\\d s ${direction} the clock of the database`,
      )
      expect(shifted.output()).toMatch(/"event":"clock\.drifted"/)
      const readiness = await fetch(`${shifted.managementUrl}/health/ready`)
      expect(readiness.status).toBe(isRefused ? 503 : 200)
      expect(await readiness.json()).toMatchObject({
        checks: { clock: !isRefused },
        warnings: [expect.stringMatching(warning)],
        details: { clock_ahead_seconds: expect.closeTo(clockAheadSeconds, 0) },
      })
      const metrics = await (await fetch(`${shifted.managementUrl}/metrics`)).text()
      expect(Number(/^sallyport_clock_distance_seconds (.*)$/m.exec(metrics)?.[1])).toBeCloseTo(
        clockAheadSeconds,
        0,
      )
    })
  },
)

test('the command line measures ages by the database’s clock', async () => {
  await server.admin.users.signOut({ username: 'ada' })
  const words = ['events', 'list', '--since', '10m', '--json']
  const { stdout } = await runCommand(words, server.env, '', shiftClock(86_400))
  expect(JSON.parse(stdout)).not.toEqual([])
})

test.each([86_400, -86_400])(
  'a server whose clock is wrong by %i s continues to serve, and is not ready',
  async (seconds) => {
    const { user, refreshToken, accessToken } = await app.getTokens(OFFLINE, new EndUser(server.issuer))
    const cookie = user.jar.getCookieStringSync(server.issuer)
    const tokens = await withWrongClock(seconds, async () => {
      // The browser has a clock of its own.
      const signedIn = new EndUser(server.issuer)
      signedIn.headers.cookie = cookie
      expect((await app.authorizeSilently(signedIn)).has('code')).toBe(true)
      expect(await userinfoStatus(server, accessToken)).toBe(200)
      expect((await fetch(`${server.managementUrl}/health/ready`)).status).toBe(503)
      return expectRefreshed(await app.refresh(refreshToken))
    })
    expect((await app.authorizeSilently(user)).has('code')).toBe(true)
    expect(await userinfoStatus(server, tokens.accessToken)).toBe(200)
    expectRefreshed(await app.refresh(tokens.refreshToken))
    expect((await fetch(`${server.managementUrl}/health/ready`)).status).toBe(200)
  },
)

test.each([5, -120])('doctor reports a clock that is %i s ahead', async (aheadSeconds) => {
  const { code, stdout } = await runCommand(['doctor', '--json'], server.env, '', shiftClock(aheadSeconds))
  const isRefused = Math.abs(aheadSeconds) >= 30
  const { checks } = JSON.parse(stdout)
  expect(checks).toContainEqual({
    name: 'clock',
    ok: !isRefused,
    ...(isRefused ? {} : { warning: true }),
    detail: expect.stringMatching(
      new RegExp(`${Math.abs(aheadSeconds)}\\.\\d s (ahead of|behind) the clock of the database`),
    ),
  })
  if (isRefused) expect(code).toBe(1)
})

test.each([120, 86_400, -86_400])(
  'a cleanup whose clock is %i s ahead deletes no row before its expiry',
  async (aheadSeconds) => {
    await app.getTokens(OFFLINE, new EndUser(server.issuer))
    const count = () =>
      rows(
        server,
        `select 'tokens' as what, count(*) from oidc_token union all select 'sessions', count(*) from oidc_session
       union all select 'grants', count(*) from oidc_grant union all select 'artifacts', count(*) from oidc_artifact
       union all select 'attempts', count(*) from attempt union all select 'events', count(*) from event order by what`,
      )
    const before = await count()
    // The server also runs the cleanup itself.
    await vi.waitFor(
      async () => {
        const { code, stderr } = await runCommand(['cleanup'], server.env, '', shiftClock(aheadSeconds))
        expect(code, stderr).toBe(0)
      },
      { timeout: 30_000, interval: 100 },
    )
    expect(await count()).toEqual(before)
  },
)
