import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { RunningServer } from '../src/app/server.ts'
import { listenForNotifications } from '../src/db/change-notification.ts'
import { FaultProxy } from './support/fault-proxy.ts'
import { isPglite, startTestServer, type TestServer } from './support/harness.ts'
import { basic, rows, send, sql } from './support/http.ts'

const API = 'https://tides.example.test'

describe.skipIf(isPglite)('two instances', () => {
  let server: TestServer
  let other: RunningServer

  beforeAll(async () => {
    server = await startTestServer()
    other = await server.startAnother()
    // Both have received their first notifications.
    await pause(1_500)
  })
  afterAll(() => server?.remove())

  const tokenStatus = async (
    client: { client_id: string; client_secret?: string },
    form: Record<string, string> = {},
  ) =>
    (
      await send(`${other.url}/token`, {
        method: 'POST',
        headers: { authorization: basic(client) },
        body: new URLSearchParams({ grant_type: 'client_credentials', ...form }),
      })
    ).status

  /** Every instance sees a change within a second. */
  const soon = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 1_000, interval: 50 })

  test('see a changed client within a second', async () => {
    const client_id = 'robot'
    // The miss is cached.
    expect(await tokenStatus({ client_id, client_secret: 'x' })).toBe(401)
    const robot = await server.admin.clients.create({ type: 'service', client_name: 'Robot', client_id })
    await soon(async () => expect(await tokenStatus(robot)).toBe(200))
    await server.admin.clients.update({ client_id, disabled: true })
    await soon(async () => expect(await tokenStatus(robot)).toBe(401))
    await server.admin.clients.update({ client_id, disabled: false })
    await soon(async () => expect(await tokenStatus(robot)).toBe(200))
    const rotated = await server.admin.clients.rotateSecret({ client_id })
    await soon(async () => expect(await tokenStatus(rotated)).toBe(200))
    expect(await tokenStatus(robot)).toBe(401)
    await server.admin.clients.delete({ client_id })
    await soon(async () => expect(await tokenStatus(rotated)).toBe(401))
  })

  test('see a changed resource within a second', async () => {
    await server.admin.resources.create({ identifier: API, scope: 'tides:read', format: 'opaque' })
    const robot = await server.admin.clients.create({
      type: 'service',
      client_name: 'Robot',
      resources: [API],
    })
    await soon(async () => expect(await tokenStatus(robot, { resource: API })).toBe(200))
    await server.admin.resources.delete({ identifier: API })
    await soon(async () => expect(await tokenStatus(robot, { resource: API })).toBe(400))
  })

  test('see new signing keys within a second, without a restart', async () => {
    const keysAt = async ({ url }: { url: string }) => {
      const { body } = await send(`${url}/jwks`)
      return (body.keys as { kid: string }[]).map(({ kid }) => kid).toSorted()
    }
    const before = await keysAt(server)
    const [key] = await rows<{ kid: string }>(
      server,
      `update signing_key set state = 'retired' where alg = 'EdDSA' and state = 'current' returning kid`,
    )
    expect(before).toContain(key?.kid)
    // An algorithm without a current key gets one: the first instance makes it, and the others load it.
    await soon(async () => {
      expect(await keysAt(server)).toHaveLength(before.length + 1)
      expect(await keysAt(other)).toEqual(await keysAt(server))
    })
  })

  test('serve without change notifications, and see changes again after reconnecting', async () => {
    const robot = await server.admin.clients.create({ type: 'service', client_name: 'Robot' })
    await soon(async () => expect(await tokenStatus(robot)).toBe(200))
    await sql(
      server,
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sallyport (changes)' and datname = current_database()`,
    )
    await server.admin.clients.update({ client_id: robot.client_id, disabled: true })
    await soon(async () => expect(await tokenStatus(robot)).toBe(401))
    await pause(2_500)
    await server.admin.clients.update({ client_id: robot.client_id, disabled: false })
    await soon(async () => expect(await tokenStatus(robot)).toBe(200))
  })
})

describe('an instance', () => {
  test.skipIf(isPglite)('drops its cache within a second after a silent loss of notifications', async () => {
    const server = await startTestServer()
    const surviveDeath = async (milliseconds: number) => {
      const url = new URL(server.env.DATABASE_URL ?? '')
      const faultProxy = new FaultProxy({ host: url.hostname, port: Number(url.port) })
      url.port = String(await faultProxy.open())
      const notifications = listenForNotifications(url.href)
      const isTrusting = () => notifications.maxAgeMilliseconds() > 1_000
      const become = (trusting: boolean) =>
        vi.waitFor(() => expect(isTrusting()).toBe(trusting), { timeout: 5_000, interval: 10 })
      await become(true)
      await pause(milliseconds)
      faultProxy.blackhole()
      const diedAt = performance.now()
      await become(false)
      expect(performance.now() - diedAt).toBeLessThan(1_000)
      faultProxy.restore()
      await become(true)
      await notifications.close()
      faultProxy.close()
    }
    // The connection dies at four moments between two heartbeats.
    await Promise.all([0, 150, 300, 450].map(surviveDeath))
    await server.remove()
  })

  test('sees its own changes at once', async () => {
    const server = await startTestServer()
    const status = async (client: { client_id: string; client_secret?: string }) =>
      (
        await send(`${server.url}/token`, {
          method: 'POST',
          headers: { authorization: basic(client) },
          body: new URLSearchParams({ grant_type: 'client_credentials' }),
        })
      ).status
    const robot = await server.admin.clients.create({ type: 'service', client_name: 'Robot' })
    expect(await status(robot)).toBe(200)
    await server.admin.clients.update({ client_id: robot.client_id, disabled: true })
    expect(await status(robot)).toBe(401)
    await server.admin.clients.update({ client_id: robot.client_id, disabled: false })
    expect(await status(robot)).toBe(200)
    await server.admin.clients.delete({ client_id: robot.client_id })
    expect(await status(robot)).toBe(401)
    await server.remove()
  })
})
