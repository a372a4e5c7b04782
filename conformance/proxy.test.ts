import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCommand } from './support/command-line.ts'
import { startTestServer, type TestServer } from './support/harness.ts'
import { send } from './support/http.ts'

const CLIENT = '203.0.113.66'

let direct: TestServer
let proxied: TestServer

beforeAll(async () => {
  direct = await startTestServer()
  proxied = await startTestServer({ TRUSTED_PROXIES: '127.0.0.1,::1' })
})
afterAll(async () => {
  await direct?.remove()
  await proxied?.remove()
})

const linesOf = (server: TestServer, event: string): Record<string, unknown>[] =>
  server
    .logged()
    .split('\n')
    .filter((line) => line.includes(`"event":"${event}"`))
    .map((line) => JSON.parse(line))

const readinessOf = async ({ managementUrl }: TestServer) => {
  const answer = await fetch(`${managementUrl}/health/ready`)
  return { status: answer.status, document: await answer.json() }
}

describe('behind a proxy that TRUSTED_PROXIES does not name (RFC 9700 §4.13)', () => {
  test.for<[string, string]>([
    ['x-forwarded-for', CLIENT],
    ['forwarded', `for=${CLIENT}`],
    ['x-real-ip', CLIENT],
  ])('warns once of %s, and leaves the instance ready', async ([name, value]) => {
    for (let request = 0; request < 3; request++)
      expect((await send(`${direct.url}/jwks`, { headers: { [name]: value } })).status).toBe(200)
    const warnings = linesOf(direct, 'proxy.untrusted')
    expect(warnings).toMatchObject([{ level: 'warn', setting: 'TRUSTED_PROXIES' }])
    const { peer } = warnings[0] ?? {}
    expect(['127.0.0.1', '::1']).toContain(peer)
    expect(direct.logged()).not.toContain(CLIENT)
    const { status, document } = await readinessOf(direct)
    expect(status).toBe(200)
    expect(document).toMatchObject({
      status: 'ok',
      warnings: [expect.stringContaining(`${peer} forwards requests and is not in TRUSTED_PROXIES`)],
    })
  })

  test('doctor shows the warning of the running server, and calls the installation healthy', async () => {
    await send(`${direct.url}/jwks`, { headers: { 'x-forwarded-for': CLIENT } })
    const environment = {
      PATH: process.env.PATH ?? '',
      ...direct.env,
      MANAGEMENT_PORT: new URL(direct.managementUrl).port,
    }
    const { code, stdout } = await runCommand(['doctor'], environment)
    expect(stdout).toMatch(/^warn +readiness .* forwards requests and is not in TRUSTED_PROXIES/m)
    expect(code).toBe(0)
  })
})

describe('behind a trusted proxy', () => {
  test.for<[string, string]>([
    ['203.0.113.9:50412', '203.0.113.9'],
    ['[2001:db8::7]:50412', '2001:db8::7'],
    ['198.51.100.1, "[2001:db8::8]:443"', '2001:db8::8'],
  ])('X-Forwarded-For %s gives the address %s (RFC 7239 §6)', async ([forwardedFor, address]) => {
    await send(`${proxied.url}/jwks`, { headers: { 'x-forwarded-for': forwardedFor } })
    expect(linesOf(proxied, 'request').at(-1)).toMatchObject({ address })
    expect((await readinessOf(proxied)).document).toMatchObject({ warnings: [] })
  })

  test('a missing address is logged as a warning', async () => {
    await send(`${proxied.url}/jwks`, { headers: { 'x-forwarded-for': `${CLIENT}, unknown` } })
    expect(linesOf(proxied, 'proxy.unreadable')).toHaveLength(1)
    expect((await readinessOf(proxied)).document).toMatchObject({
      warnings: [expect.stringContaining('is in TRUSTED_PROXIES')],
    })
  })
})
