import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { type ChildServer, startChildServer } from './support/child-server.ts'
import { startTestServer, type TestServer } from './support/harness.ts'
import { basic } from './support/http.ts'
import { head } from './support/raw-socket.ts'

const BODY = 'grant_type=client_credentials'
const EVENTUALLY = { timeout: 20_000, interval: 20 }
/** The port stays open while connections arrive, so the test connects rarely. */
const RARELY = { timeout: 20_000, interval: 1_500 }

let server: TestServer
let child: ChildServer
let service: ClientDocument

beforeAll(async () => {
  server = await startTestServer()
  service = await server.admin.clients.create({ type: 'service', client_name: 'Bot' })
  child = await startChildServer(server.env)
})
afterAll(async () => {
  await child?.kill()
  await server?.remove()
})

type Connection = {
  write: (text: string) => void
  /** The status and `Connection` header of each answer so far. */
  answers: () => (readonly [number, string])[]
  closed: Promise<unknown>
  leave: () => void
}

/** A connection that stays open until the server closes it. */
async function open(): Promise<Connection> {
  const socket: Socket = connect(Number(new URL(child.url).port), '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  const closed = new Promise((done) => socket.once('close', done))
  await new Promise((done, fail) => socket.once('connect', done).once('error', fail))
  const answers = () =>
    [...text.matchAll(/HTTP\/1\.1 (\d+)[\s\S]*?^Connection: ([\w-]+)\r$/gm)].map(
      ([, status, connection]) => [Number(status), String(connection)] as const,
    )
  return { write: (more) => socket.write(more), answers, closed, leave: () => socket.destroy() }
}

const KEYS = head('GET /jwks HTTP/1.1')
const isReady = async () => (await fetch(`${child.managementUrl}/health/ready`)).status
const isListening = () =>
  open().then(
    ({ leave }) => {
      leave()
      return true
    },
    () => false,
  )
const timeOf = (event: string) => {
  const line = child
    .output()
    .split('\n')
    .findLast((text) => text.includes(`"event":"${event}"`))
  return Date.parse(JSON.parse(line ?? '{}').time)
}

test('SIGTERM ends the server after it answered all requests; a second SIGTERM changes nothing', async () => {
  const [used, idle, slow] = [await open(), await open(), await open()]
  for (const connection of [used, idle]) {
    connection.write(KEYS)
    await expect.poll(connection.answers, EVENTUALLY).toEqual([[200, 'keep-alive']])
  }
  const headers = {
    authorization: basic(service),
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': String(BODY.length),
  }
  slow.write(head('POST /token HTTP/1.1', headers) + BODY.slice(0, 10))

  const ended = child.stop('SIGTERM')
  await expect.poll(isReady, EVENTUALLY).toBe(503)
  child.send('SIGTERM')
  child.send('SIGINT')

  // Before the load balancer notices.
  const late = await open()
  late.write(KEYS.repeat(3))
  used.write(KEYS)
  await Promise.all([late.closed, used.closed])
  expect(late.answers()).toEqual([
    [200, 'keep-alive'],
    [200, 'keep-alive'],
    [200, 'close'],
  ])
  expect(used.answers().at(-1)).toEqual([200, 'close'])

  // After the load balancer noticed.
  await expect.poll(isListening, RARELY).toBe(false)
  expect(await isReady()).toBe(503)
  slow.write(BODY.slice(10))
  idle.write(KEYS)
  await Promise.all([slow.closed, idle.closed])
  expect(slow.answers()).toEqual([[200, 'close']])
  expect(idle.answers().at(-1)).toEqual([200, 'close'])

  expect(await ended).toBe(0)
  expect(timeOf('stopped') - timeOf('stopping')).toBeGreaterThanOrEqual(5_000)
})

test('SIGINT ends the server without a pause, and without waiting for idle connections', async () => {
  await child.start()
  const idle = await open()
  idle.write(KEYS)
  await expect.poll(idle.answers, EVENTUALLY).toHaveLength(1)
  const ended = child.stop('SIGINT')
  // npm forwards a signal that the terminal has already sent to the server.
  child.send('SIGINT')
  expect(await ended).toBe(0)
  await idle.closed
  expect(timeOf('stopped') - timeOf('stopping')).toBeLessThan(5_000)
})
