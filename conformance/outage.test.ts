import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type ChildServer, startChildServer } from './support/child-server.ts'
import {
  createTestClient,
  expectRefreshed,
  expectTokenError,
  type TestClient,
  tokensOf,
  userinfoStatus,
} from './support/code-flow.ts'
import { FaultProxy, type Statement } from './support/fault-proxy.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, exchange, posting, rows, sql } from './support/http.ts'

const OUTAGE_SECONDS = 60
const OFFLINE = { scope: 'openid offline_access', prompt: 'consent' }
const isCommit = ({ text }: Statement) => text.includes('/* token_commit */')

let server: TestServer
/** Another instance behind the same proxy. */
let another: string
let faultProxy: FaultProxy
/** The same database without the proxy. */
let behind: TestServer
let app: TestClient

beforeAll(async () => {
  server = await startTestServer({}, async (url) => {
    const database = new URL(url)
    faultProxy = new FaultProxy({ host: database.hostname, port: Number(database.port) })
    database.port = String(await faultProxy.open())
    return database.href
  })
  const databaseUrl = new URL(server.env.DATABASE_URL ?? '')
  databaseUrl.port = String(faultProxy.databasePort)
  behind = { ...server, env: { ...server.env, DATABASE_URL: databaseUrl.href } }
  another = (await server.startAnother()).url
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  app = await createTestClient(server, { first_party: true })
})
afterAll(async () => {
  await server?.remove()
  faultProxy?.close()
})
afterEach(() => faultProxy.unblock())

/**
 * Moves all stored times of spent tokens, answers and heartbeats back by `seconds`.
 *
 * @param beatAt the new value of each last beat.
 */
async function letPass(
  seconds: number,
  { instances = 'true', beatAt = 'beat_at - make_interval(secs => $1)' } = {},
): Promise<void> {
  for (const statement of [
    `update oidc_token set consumed_at = consumed_at - make_interval(secs => $1)`,
    `update oidc_refresh_answer set expires_at = expires_at - make_interval(secs => $1)`,
    `update instance_uptime set began_at = began_at - make_interval(secs => $1), beat_at = ${beatAt} where ${instances}`,
  ])
    await sql(behind, statement, [seconds])
}

/** Simulates time without a database: no heartbeat is recorded. */
async function letOutagePass(seconds = OUTAGE_SECONDS): Promise<void> {
  faultProxy.block()
  await letPass(seconds)
  faultProxy.unblock()
}

/** Simulates time in which both instances are up. */
async function letUptimePass(seconds: number): Promise<void> {
  const isUp = `beat_at > now() - interval '3 seconds'`
  await vi.waitFor(
    async () =>
      expect(await sql(behind, `select from instance_uptime where ${isUp}`)).toBeGreaterThanOrEqual(2),
    { timeout: 10_000 },
  )
  const beatAt = `case when ${isUp} then beat_at else beat_at - make_interval(secs => $1) end`
  await letPass(seconds, { beatAt })
}

/** Retries a refresh like a well-behaved client, for as long as the answer is 503. */
async function refreshUntilAnswered(refresh_token: string, at: string): Promise<Answer> {
  return await vi.waitFor(
    async () => {
      const form = { grant_type: 'refresh_token', refresh_token }
      const answer = await exchange(`${at}/token`, posting(form, { as: app.client }))
      expect(answer.status).not.toBe(503)
      return answer
    },
    { timeout: 10_000, interval: 50 },
  )
}

/** Refreshes with a database connection that is lost after the commit, so that the answer is lost. */
async function loseAnswer(refresh_token: string, at: string, meanwhile: () => Promise<void>): Promise<void> {
  const injected = faultProxy.onStatement('after', { kind: 'drop', meanwhile }, {}, isCommit)
  const form = { grant_type: 'refresh_token', refresh_token }
  await exchange(`${at}/token`, posting(form, { as: app.client })).catch(() => {})
  expect(injected.affected()).toHaveLength(1)
}

describe('a database outage longer than the refresh-replay window', () => {
  test.for(['the same instance', 'another instance'])(
    'lets %s repeat an answer that was never sent (RFC 9700 §4.14.2)',
    async (where) => {
      const { refreshToken } = await app.getTokens(OFFLINE)
      await loseAnswer(refreshToken, server.url, letOutagePass)
      const at = where === 'another instance' ? another : server.url
      const { refreshToken: next } = expectRefreshed(await refreshUntilAnswered(refreshToken, at))
      expectRefreshed(await refreshUntilAnswered(next, another))
    },
  )

  test('keeps a lost answer repeatable at either instance, also after a cleanup', async () => {
    for (const at of [server.url, another]) {
      const { refreshToken } = await app.getTokens(OFFLINE)
      const first = await app.refresh(refreshToken, {}, { at })
      await letOutagePass()
      await vi.waitFor(() => server.admin.cleanup.run())
      for (const retriedAt of [another, server.url])
        expect((await refreshUntilAnswered(refreshToken, retriedAt)).text).toBe(first.text)
      expectRefreshed(await app.refresh(tokensOf(first).refreshToken))
    }
  })

  test('rejects a replay whose window ended before the outage, or after it', async () => {
    for (const whatHappens of [
      async () => {
        await letUptimePass(11)
        await letOutagePass()
      },
      async () => {
        await letOutagePass()
        await letUptimePass(11)
      },
    ]) {
      const { refreshToken } = await app.getTokens(OFFLINE)
      const next = expectRefreshed(await app.refresh(refreshToken))
      await whatHappens()
      expectTokenError(await refreshUntilAnswered(refreshToken, another))
      expectTokenError(await refreshUntilAnswered(next.refreshToken, server.url))
      expect(await userinfoStatus(server, next.accessToken)).toBe(401)
    }
  })

  test('keeps the tokens of a duplicated code until ten seconds of uptime have passed (RFC 6749 §4.1.2)', async () => {
    const { form, ...tokens } = await app.getTokens(OFFLINE)
    await letOutagePass()
    expectTokenError(await vi.waitFor(() => app.token(form, { at: another })))
    expect(await userinfoStatus(server, tokens.accessToken)).toBe(200)
    const { refreshToken } = expectRefreshed(await app.refresh(tokens.refreshToken))
    await letUptimePass(11)
    expectTokenError(await app.token(form, { at: another }))
    expectTokenError(await app.refresh(refreshToken))
  })

  test('of a day ends the repetition, because answers are kept for a day at most', async () => {
    const { refreshToken } = await app.getTokens(OFFLINE)
    expectRefreshed(await app.refresh(refreshToken))
    await letOutagePass(25 * 3_600)
    await vi.waitFor(() => server.admin.cleanup.run())
    expect(
      await sql(behind, `select from oidc_refresh_answer where expires_at < now() - interval '1 day'`),
    ).toBe(0)
    expectTokenError(await refreshUntilAnswered(refreshToken, another))
  })
})

test.for(['a refresh token', 'a code'])(
  'keeps the token family of %s when a duplicate is handled after its client disconnected (RFC 9700 §4.14.2)',
  async (what) => {
    // Simulates an instance that was suspended, whose client went to another one.
    const { form, ...tokens } = await app.getTokens(OFFLINE)
    const next = expectRefreshed(await app.refresh(tokens.refreshToken))
    await letUptimePass(11)
    const { promise, resolve } = Promise.withResolvers<void>()
    const injected = faultProxy.onStatement('before', { kind: 'hold', until: promise }, {}, ({ text }) =>
      text.includes('/* token_find */'),
    )
    const duplicate =
      what === 'a code' ? form : { grant_type: 'refresh_token', refresh_token: tokens.refreshToken }
    const leaving = new AbortController()
    const answered = () => server.logged().split('"path":"/token"').length
    const before = answered()
    const sent = exchange(`${server.url}/token`, {
      ...posting(duplicate, { as: app.client }),
      signal: leaving.signal,
    }).catch(() => {})
    await vi.waitFor(() => expect(injected.affected()).toHaveLength(1), { timeout: 10_000 })
    leaving.abort()
    await sent
    // After this answer the instance has seen the disconnect.
    await exchange(`${server.url}/jwks`)
    resolve()
    await vi.waitFor(() => expect(answered()).toBe(before + 1), { timeout: 10_000 })
    expectRefreshed(await app.refresh(next.refreshToken))
    expectTokenError(await app.refresh(tokens.refreshToken))
  },
)

describe('an instance that is killed before it answers', () => {
  let child: ChildServer

  beforeAll(async () => {
    child = await startChildServer(server.env)
  })
  afterAll(() => child?.kill())
  beforeEach(async () => {
    if (!child.isAlive()) await child.start()
  })

  const letPassSinceItsDeath = async (seconds: number, refreshToken: string) => {
    const [answer] = await rows<{ made_by: string }>(
      behind,
      'select made_by from oidc_refresh_answer where id_hash = sha256($1::text::bytea)',
      [refreshToken],
    )
    await letPass(seconds, { instances: `instance = '${answer?.made_by}'` })
  }

  test('leaves its answer repeatable at other instances (RFC 9700 §4.14.2)', async () => {
    const { refreshToken } = await app.getTokens(OFFLINE)
    await loseAnswer(refreshToken, child.url, child.kill)
    await letPassSinceItsDeath(OUTAGE_SECONDS, refreshToken)
    const next = expectRefreshed(await refreshUntilAnswered(refreshToken, another))
    expectRefreshed(await app.refresh(next.refreshToken))
  })

  test('leaves it for five minutes, then a second use counts as reuse', async () => {
    const { refreshToken } = await app.getTokens(OFFLINE)
    const next = expectRefreshed(await app.refresh(refreshToken, {}, { at: child.url }))
    await child.kill()
    await letPassSinceItsDeath(6 * 60, refreshToken)
    expectTokenError(await refreshUntilAnswered(refreshToken, another))
    expectTokenError(await app.refresh(next.refreshToken))
  })

  test('leaves no answer older than the window', async () => {
    const { refreshToken } = await app.getTokens(OFFLINE)
    const next = expectRefreshed(await app.refresh(refreshToken, {}, { at: child.url }))
    await letUptimePass(11)
    await child.kill()
    expectTokenError(await refreshUntilAnswered(refreshToken, another))
    expectTokenError(await app.refresh(next.refreshToken))
  })
})

test('an instance that stops gracefully ends the repetition of its answers by the uptime of the others', async () => {
  const { refreshToken } = await app.getTokens(OFFLINE)
  const third = await server.startAnother()
  const first = await app.refresh(refreshToken, {}, { at: third.url })
  await third.stop()
  expect((await app.refresh(refreshToken, {}, { at: another })).text).toBe(first.text)
  await letUptimePass(11)
  expectTokenError(await app.refresh(refreshToken, {}, { at: another }))
})
