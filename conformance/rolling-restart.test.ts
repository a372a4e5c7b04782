import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ChildServer, startChildServer } from './support/child-server.ts'
import { createTestClient, expectRefreshed, type TestClient } from './support/code-flow.ts'
import { freePort } from './support/database-server.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { send } from './support/http.ts'
import { startTcpBalancer, type TcpBalancer } from './support/tcp-balancer.ts'

/** `ROLLING=full` runs more rounds under more load than the suite has time for. */
const { rounds, flowsPerSecond } =
  process.env.ROLLING === 'full' ? { rounds: 6, flowsPerSecond: 50 } : { rounds: 1, flowsPerSecond: 10 }
const PEOPLE = 5
const MOST_FLOWS_AT_ONCE = 200

let server: TestServer
let instances: ChildServer[]
let balancer: TcpBalancer
let app: TestClient
let people: EndUser[]

beforeAll(async () => {
  const port = await freePort()
  server = await startTestServer({ ISSUER: `http://localhost:${port}` })
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  const start = () => startChildServer({ ...server.env, LOG_LEVEL: 'warn' })
  instances = await Promise.all([start(), start()])
  balancer = await startTcpBalancer(port, instances)
  await Promise.all(instances.map(balancer.takes))
  app = await createTestClient({ ...server, url: server.issuer }, { first_party: true })
  people = Array.from({ length: PEOPLE }, () => new EndUser(server.issuer))
  for (const person of people) await app.getTokens({}, person)
})
afterAll(async () => {
  await balancer?.close()
  await Promise.all((instances ?? []).map((instance) => instance.kill()))
  await server?.remove()
})

/** A sign-in and its token requests, over kept connections. */
async function flow(person: EndUser): Promise<void> {
  const { refreshToken } = await app.getTokens({}, person)
  const { accessToken } = expectRefreshed(await app.refresh(refreshToken))
  const headers = { authorization: `Bearer ${accessToken}` }
  expect((await send(`${server.issuer}/userinfo`, { headers })).status).toBe(200)
}

test(
  'no flow fails while instances behind a TCP balancer are restarted one after the other',
  async () => {
    let started = 0
    let isOver = false
    const failures: unknown[] = []
    const flows = new Set<Promise<void>>()
    const load = (async () => {
      while (!isOver) {
        // A busy machine gets a lower rate; another test covers load beyond the limits.
        if (flows.size < MOST_FLOWS_AT_ONCE) {
          const person = people[started++ % people.length] as EndUser
          const ended: Promise<void> = flow(person)
            .catch((error: unknown) => void failures.push(error))
            .finally(() => flows.delete(ended))
          flows.add(ended)
        }
        await pause(1_000 / flowsPerSecond)
      }
    })()

    for (let round = 0; round < rounds; round++)
      for (const instance of instances) {
        expect(await instance.stop('SIGTERM')).toBe(0)
        await instance.start()
        await balancer.takes(instance)
      }
    isOver = true
    await load
    await Promise.all(flows)

    if (process.env.ROLLING === 'full') process.stdout.write(`${started} flows, ${failures.length} failed\n`)
    expect(balancer.turnedAway()).toBe(0)
    expect(failures).toEqual([])
    expect(started).toBeGreaterThan(5 * flowsPerSecond * rounds)
    for (const instance of instances) expect(instance.output()).not.toContain('"level":"error"')
  },
  rounds * 120_000,
)
