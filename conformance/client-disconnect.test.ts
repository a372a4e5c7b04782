import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  createTestClient,
  expectRefreshed,
  expectTokenError,
  type TestClient,
  tokensOf,
  userinfoStatus,
} from './support/code-flow.ts'
import { FaultProxy } from './support/fault-proxy.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { exchange, posting, rows } from './support/http.ts'

const OFFLINE = { scope: 'openid offline_access', prompt: 'consent' }
/** A short window of refresh replay, with room for a late heartbeat. */
const WINDOW_SECONDS = 2
const AFTER_WINDOW_MILLISECONDS = 6_000

describe('a refresh whose client disconnected (RFC 9700 §4.14.2)', () => {
  let server: TestServer
  let another: string
  let faultProxy: FaultProxy
  let app: TestClient

  beforeAll(async () => {
    const settings = { REFRESH_REPLAY_SECONDS: String(WINDOW_SECONDS) }
    server = await startTestServer(settings, async (url) => {
      const database = new URL(url)
      faultProxy = new FaultProxy({ host: database.hostname, port: Number(database.port) })
      database.port = String(await faultProxy.open())
      return database.href
    })
    another = (await server.startAnother()).url
    await server.admin.users.create({ username: 'ada', password: PASSWORD })
    app = await createTestClient(server, { first_party: true })
  })
  afterAll(async () => {
    await server?.remove()
    faultProxy?.close()
  })

  /** Refreshes, and disconnects before the answer. */
  async function hangUp(refresh_token: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const injected = faultProxy.onStatement('before', { kind: 'hold', until: promise }, {}, ({ text }) =>
      text.includes('/* token_commit */'),
    )
    const leaving = new AbortController()
    const sent = exchange(`${server.url}/token`, {
      ...posting({ grant_type: 'refresh_token', refresh_token }, { as: app.client }),
      signal: leaving.signal,
    }).catch(() => {})
    await vi.waitFor(() => expect(injected.affected()).toHaveLength(1), { timeout: 10_000 })
    leaving.abort()
    await sent
    // After this answer the instance has seen the disconnect.
    await exchange(`${server.url}/jwks`)
    resolve()
  }

  async function repeatSecondsOf(refreshToken: string): Promise<number | undefined> {
    const [answer] = await rows<{ repeat_seconds: number }>(
      server,
      'select repeat_seconds from oidc_refresh_answer where id_hash = sha256($1::text::bytea)',
      [refreshToken],
    )
    return answer?.repeat_seconds
  }

  test.for(['the same instance', 'another instance'])(
    'can be repeated later at %s, and counts as reuse after a second window',
    async (where) => {
      const at = where === 'another instance' ? another : server.url
      const { refreshToken } = await app.getTokens(OFFLINE)
      await hangUp(refreshToken)
      await vi.waitFor(async () => expect(await repeatSecondsOf(refreshToken)).toBe(600), { timeout: 10_000 })
      const next = expectRefreshed(await app.refresh(refreshToken, {}, { at }))
      // The lost answer of the successor is repeated, too.
      expect(tokensOf(await app.refresh(refreshToken, {}, { at })).refreshToken).toBe(next.refreshToken)
      await pause(AFTER_WINDOW_MILLISECONDS)
      expectTokenError(await app.refresh(refreshToken))
      expectTokenError(await app.refresh(next.refreshToken))
      expect(await userinfoStatus(server, next.accessToken)).toBe(401)
    },
  )

  test('is not recorded as undelivered once another instance has answered it', async () => {
    const { refreshToken } = await app.getTokens(OFFLINE)
    await hangUp(refreshToken)
    await vi.waitFor(async () => expectRefreshed(await app.refresh(refreshToken, {}, { at: another })))
    // Waits for a heartbeat of each instance.
    const [now] = await rows<{ at: Date }>(server, 'select now() as at')
    await vi.waitFor(
      async () =>
        expect(await rows(server, 'select from instance_uptime where beat_at > $1', [now?.at])).toHaveLength(
          2,
        ),
      { timeout: 10_000 },
    )
    expect(await repeatSecondsOf(refreshToken)).toBeLessThan(60)
  })
})
