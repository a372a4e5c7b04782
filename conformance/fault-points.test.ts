import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ChildServer, startChildServer } from './support/child-server.ts'
import { isPglite, startTestServer, type TestServer } from './support/harness.ts'
import { createOracle, type Oracle } from './support/oracle.ts'
import { type Fault, isHousekeeping, type Point, Road } from './support/road.ts'
import { createGrantsInUse, type GrantInUse, type GrantName } from './support/token-grants.ts'
import { tryAtEveryStatement } from './support/trial.ts'

const FAULTS: Record<string, Fault> = {
  'its backend terminated (57P01)': { kind: 'error', sqlState: '57P01' },
  'a deadlock (40P01)': { kind: 'error', sqlState: '40P01' },
  'a serialization failure (40001)': { kind: 'error', sqlState: '40001' },
  'a statement timeout (57014)': { kind: 'error', sqlState: '57014' },
  'a lock timeout (55P03)': { kind: 'error', sqlState: '55P03' },
  'a full disk (53100)': { kind: 'error', sqlState: '53100' },
  'a lost connection': { kind: 'drop' },
  'a delay': { kind: 'delay', milliseconds: 300 },
}
const POINTS: readonly Point[] = ['before', 'after']
const GRANTS: readonly GrantName[] = ['code', 'refresh', 'device']

// One server is well: there people sign in, and the oracle looks. The other one has its database at the end of a road.
describe.skipIf(isPglite)('a token request', () => {
  let server: TestServer
  let road: Road
  let oracle: Oracle
  let grants: Record<GrantName, GrantInUse>
  let env: Record<string, string>
  let at: string

  beforeAll(async () => {
    server = await startTestServer()
    const database = new URL(server.env.DATABASE_URL ?? '')
    oracle = await createOracle(database.href)
    grants = await createGrantsInUse(server, oracle)
    road = new Road({ host: database.hostname, port: Number(database.port) })
    database.port = String(await road.open())
    env = { ...server.env, DATABASE_URL: database.href }
    at = (await server.startAnother({ DATABASE_URL: database.href })).url
    // Until a server hears of changes it remembers nothing for long; what it looks up once is no part of every request.
    await pause(1_500)
    for (const name of GRANTS) await (await grants[name].prepare()).send(at)
  })
  afterAll(async () => {
    await oracle?.close()
    await server?.remove()
    road?.close()
  })

  test.for(GRANTS)('is one look and one commit: %s', async (name) => {
    const request = await grants[name].prepare()
    const statements = await road.watch(
      async () => expect((await request.send(at)).status).toBe(200),
      (statement) => !isHousekeeping(statement),
    )
    expect(statements).toHaveLength(2)
  })

  describe.for(GRANTS)('of the %s grant', (name) => {
    describe.for(POINTS)('%s any of its statements', (point) => {
      test.for(Object.entries(FAULTS))(
        '%s yields tokens once, and a retry gets somewhere (RFC 6749 §4.1.2, RFC 9700 §4.14.2)',
        async ([, fault]) => {
          const { statements, complaints } = await tryAtEveryStatement(grants[name], oracle, {
            at,
            road,
            point,
            fault,
          })
          expect(complaints).toEqual([])
          expect(statements).toBeGreaterThan(0)
        },
      )
    })
  })

  describe('of a server that is killed', () => {
    let child: ChildServer

    beforeAll(async () => {
      child = await startChildServer(env)
    })
    afterAll(() => child?.kill())

    describe.for(GRANTS)('in the %s grant', (name) => {
      test.for(POINTS)(
        '%s any of its statements yields tokens once, and a retry gets somewhere',
        async (point) => {
          const { statements, complaints } = await tryAtEveryStatement(grants[name], oracle, {
            at: child.url,
            road,
            point,
            fault: { kind: 'drop', meanwhile: child.kill },
            revive: child.start,
          })
          expect(complaints).toEqual([])
          expect(statements).toBeGreaterThan(0)
        },
      )
    })
  })
})
