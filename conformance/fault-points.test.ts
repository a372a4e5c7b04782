import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ChildServer, startChildServer } from './support/child-server.ts'
import { tokensOf } from './support/code-flow.ts'
import {
  atEveryStatement,
  checkTokenRequest,
  describeAnswer,
  findViolation,
  isRefusal,
} from './support/fault-injection.ts'
import { type Fault, FaultProxy, isHousekeeping, type Point } from './support/fault-proxy.ts'
import { startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, exchange } from './support/http.ts'
import { createGrantsInUse, GRANT_NAMES, type GrantsInUse } from './support/token-grants.ts'
import { createTokenInvariants, type TokenInvariants } from './support/token-invariants.ts'

const LOST: Fault = { kind: 'drop' }
const FAULTS: Record<string, Fault> = {
  'its backend terminated (57P01)': { kind: 'error', sqlState: '57P01' },
  'a deadlock (40P01)': { kind: 'error', sqlState: '40P01' },
  'a serialization failure (40001)': { kind: 'error', sqlState: '40001' },
  'a statement timeout (57014)': { kind: 'error', sqlState: '57014' },
  'a lock timeout (55P03)': { kind: 'error', sqlState: '55P03' },
  'a full disk (53100)': { kind: 'error', sqlState: '53100' },
  'a lost connection': LOST,
  'a delay': { kind: 'delay', milliseconds: 300 },
}
const POINTS: readonly Point[] = ['before', 'after']

// One server prepares grants without faults; the other reaches its database through the fault proxy.
describe('when the database fails', () => {
  let server: TestServer
  let faultProxy: FaultProxy
  let tokenInvariants: TokenInvariants
  let grants: GrantsInUse
  let env: Record<string, string>
  let at: string

  beforeAll(async () => {
    server = await startTestServer({ TRUSTED_PROXIES: '127.0.0.1,::1' })
    const database = new URL(server.env.DATABASE_URL ?? '')
    tokenInvariants = createTokenInvariants(database.href)
    grants = await createGrantsInUse(server, tokenInvariants)
    faultProxy = new FaultProxy({ host: database.hostname, port: Number(database.port) })
    database.port = String(await faultProxy.open())
    env = { ...server.env, DATABASE_URL: database.href }
    at = (await server.startAnother({ DATABASE_URL: database.href })).url
    // Until the first change notification arrives, a server caches rows for half a second only.
    await pause(1_500)
    for (const name of GRANT_NAMES) await (await grants[name].prepare()).send(at)
  })
  afterAll(async () => {
    await tokenInvariants?.close()
    await server?.remove()
    faultProxy?.close()
  })

  const statementsOf = (work: () => Promise<unknown>) =>
    faultProxy.watch(work, (statement) => !isHousekeeping(statement))

  describe.for(GRANT_NAMES)('at a token request of the %s grant', (name) => {
    test('executes one lookup and one commit', async () => {
      const request = await grants[name].prepare()
      const statements = await statementsOf(async () => expect((await request.send(at)).status).toBe(200))
      expect(statements).toHaveLength(2)
    })

    describe.for(POINTS)('%s any of its statements', (point) => {
      test.for(Object.entries(FAULTS))(
        '%s: issues tokens once, and a retry succeeds (RFC 6749 §4.1.2, RFC 9700 §4.14.2)',
        async ([, fault]) => {
          const grant = grants[name]
          const isHarmless = fault.kind === 'delay'
          const { statements, violations } = await atEveryStatement(
            { faultProxy, point, fault },
            (withFault) => checkTokenRequest({ grant, tokenInvariants, at, withFault, isHarmless }),
          )
          expect(violations).toEqual([])
          expect(statements).toBeGreaterThan(0)
        },
      )
    })
  })

  test.for(['code', 'device'] as const)(
    'a %s whose answer was lost is rejected at once, and its later use revokes the lost tokens (RFC 6749 §4.1.2)',
    async (name) => {
      const known = await grants[name].prepare()
      const { length: statements } = await statementsOf(() => known.send(at))
      const request = await grants[name].prepare()
      const mark = await tokenInvariants.mark()
      faultProxy.onStatement('after', LOST, { nth: statements })
      const first = await request.send(at)
      if (first.status === 200) {
        // The retry found its own commit.
        tokenInvariants.record(first)
        expect(await tokenInvariants.createdSince(mark)).toEqual({ access: 1, refresh: 1, orphans: 0 })
        return
      }
      expect(findViolation(first, { mayFail: true })).toBeUndefined()
      expect(await request.send(at)).toSatisfy(isRefusal)
      expect(await tokenInvariants.createdSince(mark)).toEqual({ access: 1, refresh: 1, orphans: 2 })
      await tokenInvariants.change(`update oidc_token set consumed_at = consumed_at - interval '1 minute'`)
      tokenInvariants.release()
      expect(await request.send(at)).toSatisfy(isRefusal)
      expect(await tokenInvariants.createdSince(mark)).toEqual({ access: 0, refresh: 0, orphans: 0 })
    },
  )

  describe.for(POINTS)('%s any statement', (point) => {
    const faults = Object.entries(FAULTS).filter(([, { kind }]) => kind !== 'delay')

    test.for(faults)(
      '%s: a revocation succeeds, or returns 503 and succeeds at the retry (RFC 7009 §2.2.1)',
      async ([, fault]) => {
        const { statements, violations } = await atEveryStatement(
          { faultProxy, point, fault },
          async (withFault) => {
            const mark = await tokenInvariants.mark()
            const { spends: token } = await grants.refresh.prepare()
            const said: string[] = []
            const sayUnlessDead = async (when: string) => {
              const { access, refresh } = await tokenInvariants.createdSince(mark)
              // The revocation of a refresh token revokes the access tokens of its grant (RFC 7009 §2.1).
              if (access + refresh > 0)
                said.push(`${when}, and ${access} access and ${refresh} refresh tokens live`)
            }
            const { result: first, isAffected } = await withFault(() => grants.refresh.revoke(token, at))
            const wrong = findViolation(first, { mayFail: isAffected })
            if (wrong) said.push(wrong)
            if (isSuccess(first)) await sayUnlessDead('200')
            else {
              const second = await grants.refresh.revoke(token, at)
              if (second.status !== 200) said.push(`the retry got ${describeAnswer(second)}`)
              await sayUnlessDead('200 for the retry')
            }
            tokenInvariants.release()
            return said
          },
        )
        expect(violations).toEqual([])
        expect(statements).toBeGreaterThan(0)
      },
    )

    test.for(faults)(
      '%s: an active token is never reported as inactive (RFC 6750 §3.1, RFC 7662 §2.2)',
      async ([, fault]) => {
        const answer = await (await grants.code.prepare()).send(server.url)
        const { accessToken } = tokensOf(answer)
        const headers = { authorization: `Bearer ${accessToken}` }
        const uses = {
          userinfo: () => exchange(`${at}/userinfo`, { headers }),
          introspection: () => grants.code.introspect(accessToken, at),
        }
        for (const [name, use] of Object.entries(uses)) {
          const { statements, violations } = await atEveryStatement(
            { faultProxy, point, fault },
            async (withFault) => {
              const { result, isAffected } = await withFault(use)
              const wrong = findViolation(result, { mayFail: isAffected })
              const isInactive = isSuccess(result) && result.body.active === false
              return [wrong, isInactive ? 'called inactive' : undefined].filter((text) => text !== undefined)
            },
          )
          expect(violations, name).toEqual([])
          expect(statements, name).toBeGreaterThan(0)
        }
      },
    )
  })

  describe('and the server is killed at a token request', () => {
    let child: ChildServer

    beforeAll(async () => {
      child = await startChildServer(env)
    })
    afterAll(() => child?.kill())

    describe.for(GRANT_NAMES)('of the %s grant', (name) => {
      test.for(POINTS)(
        '%s any of its statements: issues tokens once, and a retry succeeds (RFC 6749 §4.1.2, RFC 9700 §4.14.2)',
        async (point) => {
          const fault: Fault = { kind: 'drop', meanwhile: child.kill }
          const grant = grants[name]
          const { statements, violations } = await atEveryStatement(
            { faultProxy, point, fault },
            (withFault) =>
              checkTokenRequest({ grant, tokenInvariants, at: child.url, withFault, restart: child.start }),
          )
          expect(violations).toEqual([])
          expect(statements).toBeGreaterThan(0)
        },
      )
    })
  })
})

function isSuccess(answer: Answer | Error): answer is Answer {
  return !(answer instanceof Error) && answer.status === 200
}
