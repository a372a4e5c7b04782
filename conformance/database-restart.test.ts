import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type ChildServer, startChildServer } from './support/child-server.ts'
import { type DedicatedPostgres, startDedicatedPostgres } from './support/dedicated-postgres.ts'
import { startTestServer, type TestServer } from './support/harness.ts'
import { getTokens } from './support/retrying-client.ts'
import { createGrantsInUse, type GrantsInUse, type TokenRequest } from './support/token-grants.ts'
import { createTokenInvariants, type TokenInvariants } from './support/token-invariants.ts'

const RECOVERY_MILLISECONDS = 5_000
const WINDOW_SECONDS = 3
/** The last outage is longer than the window of refresh replay. */
const OUTAGE_MILLISECONDS = [400, 0, 4_500]
const CHAINS = 6
const REDEMPTIONS_EACH = 12

// A separate Postgres, because the test stops it; the two instances are separate processes, because the test observes
// that they keep running.
describe('a restart of Postgres', () => {
  let postgres: DedicatedPostgres
  let server: TestServer
  let children: ChildServer[]
  let tokenInvariants: TokenInvariants
  let grants: GrantsInUse

  beforeAll(async () => {
    postgres = await startDedicatedPostgres()
    const settings = {
      TRUSTED_PROXIES: '127.0.0.1,::1',
      REFRESH_REPLAY_SECONDS: String(WINDOW_SECONDS),
    }
    server = await startTestServer(settings, async () => postgres.url)
    children = await Promise.all([startChildServer(server.env), startChildServer(server.env)])
    tokenInvariants = createTokenInvariants(postgres.url)
    grants = await createGrantsInUse(server, tokenInvariants)
  })
  afterAll(async () => {
    for (const child of children ?? []) await child.kill()
    await server?.remove()
    await tokenInvariants?.close()
    await postgres?.remove()
  })

  /** Clients that refresh, redeem codes and connect devices all the time, and retry as the specifications say. */
  async function startLoad() {
    let isOver = false
    let succeeded = 0
    let startedAfresh = 0
    const inTurn = roundRobin(children.map(({ url }) => url))
    const longest = Math.max(...OUTAGE_MILLISECONDS)
    const options = { at: inTurn, tokenInvariants, withinMilliseconds: longest + 2 * RECOVERY_MILLISECONDS }
    const get = async (name: keyof GrantsInUse, request: TokenRequest) => {
      const got = await getTokens(grants[name], request, options)
      succeeded++
      startedAfresh += got.startedAfresh
      return String(got.answer.body.refresh_token)
    }
    const chain = async (first: TokenRequest) => {
      let token = await get('refresh', first)
      while (!isOver) {
        await pause(20)
        const spends = token
        token = await get('refresh', { spends, send: (at) => grants.refresh.refresh(spends, at) })
      }
    }
    const redeemAll = async (name: 'code' | 'device', requests: TokenRequest[]) => {
      for (const request of requests) {
        await pause(50)
        await get(name, request)
      }
    }
    const prepare = async (name: keyof GrantsInUse, count: number) =>
      await Promise.all(Array.from({ length: count }, () => grants[name].prepare()))

    const prepared = {
      refresh: await prepare('refresh', CHAINS),
      code: await prepare('code', REDEMPTIONS_EACH),
      device: await prepare('device', REDEMPTIONS_EACH),
    }
    const mark = await tokenInvariants.mark()
    const running = Promise.all([
      ...prepared.refresh.map(chain),
      redeemAll('code', prepared.code),
      redeemAll('device', prepared.device),
    ])
    let failure: unknown
    running.catch((error: unknown) => {
      failure = error
    })
    return {
      mark,
      succeeded() {
        if (failure) throw failure
        return succeeded
      },
      async stop() {
        isOver = true
        await running
        return { families: CHAINS + 2 * REDEMPTIONS_EACH, startedAfresh }
      },
    }
  }

  test('loses and duplicates no token over retries at either instance; serves requests without a database, and all others within 5 s of its return', async () => {
    const [child] = children as [ChildServer]
    const load = await startLoad()
    for (const outageMilliseconds of OUTAGE_MILLISECONDS) {
      await pause(300)
      await postgres.stop()
      await pause(outageMilliseconds)
      for (const url of [
        `${child.url}/jwks`,
        `${child.url}/.well-known/openid-configuration`,
        `${child.managementUrl}/health/live`,
      ])
        expect((await fetch(url)).status, url).toBe(200)
      expect((await fetch(`${child.managementUrl}/health/ready`)).status).toBe(503)
      await postgres.start()
      const before = load.succeeded()
      await vi.waitFor(
        async () => {
          expect(load.succeeded()).toBeGreaterThan(before + CHAINS)
          expect((await fetch(`${child.managementUrl}/health/ready`)).status).toBe(200)
        },
        { timeout: RECOVERY_MILLISECONDS },
      )
    }
    const { families, startedAfresh } = await load.stop()

    for (const { isAlive } of children) expect(isAlive()).toBe(true)
    expect(await tokenInvariants.lost()).toEqual([])
    // One usable refresh token per family. A client that started a new family left one, with its access token.
    const { refresh, orphans } = await tokenInvariants.createdSince(load.mark)
    expect(refresh).toBe(families + startedAfresh)
    expect(orphans).toBe(2 * startedAfresh)
  })
})

function roundRobin(urls: readonly string[]): () => string {
  let turn = 0
  return () => urls[turn++ % urls.length] ?? ''
}
