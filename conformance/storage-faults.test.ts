import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { EndUser, type Page } from './support/end-user.ts'
import { findViolation } from './support/fault-injection.ts'
import { FaultProxy, type Statement } from './support/fault-proxy.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, post } from './support/http.ts'
import { CALLBACK, createRelyingParty } from './support/relying-party.ts'
import { getTokens } from './support/retrying-client.ts'
import {
  createGrantsInUse,
  GRANT_NAMES,
  type GrantsInUse,
  type TokenRequest,
} from './support/token-grants.ts'
import { createTokenInvariants, type TokenInvariants } from './support/token-invariants.ts'

/** The server must serve again this long after the fault, without a restart. */
const RECOVERY_MILLISECONDS = 5_000
const isWrite = ({ text }: Statement) => /\b(insert into|update|delete from)\b/i.test(text)

type Request = TokenRequest & { name: (typeof GRANT_NAMES)[number] }

describe('a database fault', () => {
  let server: TestServer
  let faultProxy: FaultProxy
  let directUrl: string
  let tokenInvariants: TokenInvariants
  let grants: GrantsInUse
  /** A connection that bypasses the fault proxy. */
  let directClient: pg.Client

  beforeAll(async () => {
    server = await startTestServer({}, async (url) => {
      directUrl = url
      const database = new URL(url)
      faultProxy = new FaultProxy({ host: database.hostname, port: Number(database.port) })
      database.port = String(await faultProxy.open())
      return database.href
    })
    tokenInvariants = createTokenInvariants(directUrl)
    grants = await createGrantsInUse(server, tokenInvariants)
  })
  afterAll(async () => {
    await tokenInvariants?.close()
    await server?.remove()
    faultProxy?.close()
  })
  beforeEach(async () => {
    directClient = new pg.Client(directUrl)
    await directClient.connect()
  })
  afterEach(async () => {
    await directClient.end()
    // Replaces the server's connections, so that a test does not affect the next.
    faultProxy.block()
    faultProxy.unblock()
  })

  /** Prepares token requests of every grant, without a fault. */
  async function prepare(each = 1): Promise<Request[]> {
    const requests: Request[] = []
    for (const name of GRANT_NAMES)
      for (let count = 0; count < each; count++) requests.push({ name, ...(await grants[name].prepare()) })
    return requests
  }

  const sendAll = (requests: readonly Request[]) => Promise.all(requests.map(({ send }) => send(server.url)))

  function expectUnavailable(answers: readonly Answer[]): void {
    for (const answer of answers) {
      expect(answer.status, answer.text).toBe(503)
      expect(findViolation(answer, { mayFail: true })).toBeUndefined()
    }
  }

  /** Endpoints that need no database answer at once. */
  async function expectServedMeanwhile(): Promise<void> {
    for (const url of [
      `${server.issuer}/jwks`,
      `${server.issuer}/.well-known/openid-configuration`,
      `${server.managementUrl}/health/live`,
    ])
      expect((await fetch(url, { signal: AbortSignal.timeout(1_000) })).status, url).toBe(200)
  }

  /** Every client gets tokens, and each request issues one set. */
  async function expectRecovered(requests: readonly Request[]): Promise<void> {
    const before = await tokenInvariants.mark()
    const all = requests.map(async ({ name, ...request }) => {
      const { startedAfresh } = await getTokens(grants[name], request, {
        at: server.url,
        tokenInvariants,
        withinMilliseconds: RECOVERY_MILLISECONDS,
      })
      return startedAfresh
    })
    // No request had an effect before, so no client has to start again.
    expect(await Promise.all(all)).toEqual(requests.map(() => 0))
    const { length } = requests
    expect(await tokenInvariants.createdSince(before)).toEqual({
      access: length,
      refresh: length,
      orphans: 0,
    })
    expect(await tokenInvariants.lost()).toEqual([])
    await expectReady()
  }

  async function expectReady(): Promise<void> {
    await vi.waitFor(
      async () => expect((await fetch(`${server.managementUrl}/health/ready`)).status).toBe(200),
      { timeout: RECOVERY_MILLISECONDS },
    )
  }

  test('without connections is answered with 503 and Retry-After, until the database is back', async () => {
    const client = await server.admin.clients.create({
      type: 'web',
      client_name: 'App',
      redirect_uris: [CALLBACK],
    })
    const app = await createRelyingParty(server.issuer, client)
    const user = new EndUser(server.issuer)
    const login = await user.open((await app.request()).url)
    const requests = await prepare()

    faultProxy.block()
    expectUnavailable(await sendAll(requests))
    const page = await user.submit(login, { username: 'ada', password: PASSWORD })
    expect(page.status).toBe(503)
    expect(page.$('h1').text()).toBe('We cannot answer just now')
    await expectServedMeanwhile()
    expect((await fetch(`${server.managementUrl}/health/ready`)).status).toBe(503)

    faultProxy.unblock()
    await expectRecovered(requests)
    expect(
      (await user.signInAndAgree((await app.request()).url)).leftTo?.searchParams.get('code'),
    ).toBeTruthy()
  })

  test('with repeatedly terminated connections is answered with 503 at worst', async () => {
    const requests = await prepare(4)
    const before = await tokenInvariants.mark()
    let isOver = false
    const terminating = (async () => {
      while (!isOver) {
        await directClient.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and application_name = 'sallyport'`,
        )
        await expectServedMeanwhile()
      }
    })()
    const storm = requests.map(({ name, ...request }) =>
      getTokens(grants[name], request, { at: server.url, tokenInvariants, withinMilliseconds: 10_000 }),
    )
    setTimeout(() => {
      isOver = true
    }, 1_000)
    const done = await Promise.all([...storm, terminating.then(() => undefined)])
    const afresh = done.reduce((sum, one) => sum + (one?.startedAfresh ?? 0), 0)
    const { access, refresh, orphans } = await tokenInvariants.createdSince(before)
    // A client that started again left a set of tokens without an owner.
    expect({ access, refresh }).toEqual({
      access: requests.length + afresh,
      refresh: requests.length + afresh,
    })
    expect(orphans).toBe(2 * afresh)
    expect(await tokenInvariants.lost()).toEqual([])
    await expectReady()
  })

  test('with a locked table is answered with 503 soon, until the lock is released', async () => {
    const requests = await prepare(5)
    await directClient.query('begin')
    await directClient.query('lock table oidc_token in access exclusive mode')
    const answers = sendAll(requests)
    await expectServedMeanwhile()
    expectUnavailable(await answers)
    await expectServedMeanwhile()
    await directClient.query('rollback')
    await expectRecovered(requests)
  })

  test('with a slow statement is answered with 503, and the statement is rolled back', async () => {
    const requests = await prepare()
    await directClient.query(
      `create function dawdle() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return null; end $$`,
    )
    await directClient.query(
      `create trigger dawdle before insert or update on oidc_token for each statement execute function dawdle()`,
    )
    try {
      const answers = sendAll(requests)
      await expectServedMeanwhile()
      expectUnavailable(await answers)
    } finally {
      await directClient.query('drop function dawdle() cascade')
    }
    await expectRecovered(requests)
  })

  test('with a silent database is answered with 503 within 8 s, and its connections are replaced', async () => {
    const requests = await prepare(5)
    faultProxy.blackhole()
    try {
      // Later requests do not queue behind silent connections.
      for (const _attempt of ['at once', 'later']) {
        const start = Date.now()
        const answers = sendAll(requests)
        await expectServedMeanwhile()
        expectUnavailable(await answers)
        expect(Date.now() - start).toBeLessThan(8_000)
      }
    } finally {
      faultProxy.restore()
    }
    await expectRecovered(requests)
  })

  test.for([
    ['a full disk', '53100'],
    ['too many connections', '53300'],
    ['a shutdown', '57P01'],
    ['deadlocks', '40P01'],
    ['serialization failures', '40001'],
  ] as const)('with %s (%s at every write) is answered with 503 until it ends', async ([, sqlState]) => {
    const requests = await prepare()
    const injected = faultProxy.onStatement(
      'before',
      { kind: 'error', sqlState },
      { times: Number.POSITIVE_INFINITY },
      isWrite,
    )
    try {
      expectUnavailable(await sendAll(requests))
      await expectServedMeanwhile()
    } finally {
      injected.disarm()
    }
    // Each write is retried a few times at most.
    expect(injected.affected().length).toBeLessThanOrEqual(4 * requests.length)
    await expectRecovered(requests)
  })

  test('during a device approval keeps the user code valid (RFC 8628 §3.3)', async () => {
    await server.admin.users.create({ username: 'hopper', password: PASSWORD })
    const tv = await server.admin.clients.create({ type: 'device', client_name: 'Bridge TV' })
    const { body } = await post(`${server.url}/device/authorize`, { scope: 'openid' }, { as: tv })
    const hopper = new EndUser(server.issuer)
    const isLogin = (page: Page) => page.$('input[name=password]').length > 0
    const isQuestion = (page: Page) => page.$('button[value=approve]').length > 0
    const approve = async () => {
      let page = await hopper.submit(await hopper.open(`/device?user_code=${String(body.user_code)}`))
      while (isLogin(page) || isQuestion(page))
        page = isLogin(page)
          ? await hopper.submit(page, { username: 'hopper', password: PASSWORD })
          : await hopper.submit(page, {}, 'approve')
      return page.status
    }
    const isDecision = ({ text }: Statement) => /^update "oidc_token" set .*"payload" = /.test(text)
    // The first update records that the code was entered.
    faultProxy.onStatement('before', { kind: 'error', sqlState: '57P01' }, { nth: 2 }, isDecision)
    expect(await approve()).toBe(503)
    expect(await approve()).toBe(200)
    const form = {
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: String(body.device_code),
    }
    const answer = await post(`${server.url}/token`, form, { as: tv })
    expect(answer.status, answer.text).toBe(200)
  })

  test('with a primary that became a standby (25006) moves to new connections', async () => {
    const requests = await prepare(4)
    // Opens all connections of the pool.
    await sendAll(await prepare(4))
    const last = faultProxy.connections
    const injected = faultProxy.onStatement(
      'before',
      { kind: 'error', sqlState: '25006' },
      { times: Number.POSITIVE_INFINITY },
      (statement) => isWrite(statement) && statement.connection <= last,
    )
    try {
      await expectRecovered(requests)
    } finally {
      injected.disarm()
    }
  })
})
