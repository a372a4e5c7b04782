import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { type ChildServer, startChildServer } from './support/child-server.ts'
import { startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, basic, post, statuses } from './support/http.ts'
import { head } from './support/raw-socket.ts'

/** Too little memory for the waiting requests of one of these cases without a bound. */
const HEAP_MEGABYTES = 256
/** A busy machine takes seconds. Without a bound on requests, none is answered. */
const SLOWEST_MILLISECONDS = 30_000
const FORM = 'application/x-www-form-urlencoded'
const GRANT = { grant_type: 'client_credentials' }

let server: TestServer
let child: ChildServer
let service: ClientDocument

beforeAll(async () => {
  server = await startTestServer()
  service = await server.admin.clients.create({ type: 'service', client_name: 'Bot' })
  const nodeArguments = [`--max-old-space-size=${HEAP_MEGABYTES}`]
  child = await startChildServer({ ...server.env, LOG_LEVEL: 'warn' }, { nodeArguments })
})
afterAll(async () => {
  await child?.kill()
  await server?.remove()
})

type Flood = {
  connections: number
  /** The bytes that each connection sends at once. */
  bytes: () => string
  does?: 'reads the answers' | 'reads nothing' | 'leaves at once'
}

/** Resolves when the server has closed the connections, or has had time to. */
async function flood({ connections, bytes, does = 'reads the answers' }: Flood): Promise<void> {
  const { port } = new URL(child.url)
  const sockets: Socket[] = []
  const closed = Array.from({ length: connections }, () => {
    const socket = connect(Number(port), '127.0.0.1')
    sockets.push(socket)
    socket.on('error', () => {})
    if (does === 'reads nothing') socket.pause()
    else socket.resume()
    socket.write(bytes(), () => does === 'leaves at once' && socket.destroy())
    return new Promise((done) => socket.once('close', done))
  })
  const late = setTimeout(() => {
    for (const socket of sockets) socket.destroy()
  }, 3_000)
  await Promise.all(closed)
  clearTimeout(late)
}

/** Token requests on connections of their own, until the flood is over. */
async function serveMeanwhile(
  flooding: Promise<void>,
): Promise<{ answers: Answer[]; slowestMilliseconds: number }> {
  const answers: Answer[] = []
  let slowestMilliseconds = 0
  let isOver = false
  void flooding.then(() => {
    isOver = true
  })
  while (!isOver) {
    const startedAt = performance.now()
    answers.push(await post(`${child.url}/token`, GRANT, { as: service, headers: { connection: 'close' } }))
    slowestMilliseconds = Math.max(slowestMilliseconds, performance.now() - startedAt)
  }
  return { answers, slowestMilliseconds }
}

const get = (path: string) => head(`GET ${path} HTTP/1.1`)
const tokenRequest = () => {
  const body = new URLSearchParams({ ...GRANT, filler: 'x'.repeat(1_000) }).toString()
  const headers = {
    authorization: basic(service),
    'content-type': FORM,
    'content-length': String(body.length),
  }
  return head('POST /token HTTP/1.1', headers) + body
}

test.for<[string, Flood]>([
  [
    '20 connections with 5,000 page requests each',
    { connections: 20, bytes: () => get('/device').repeat(5_000) },
  ],
  [
    '20 connections with 500 token requests each',
    { connections: 20, bytes: () => tokenRequest().repeat(500) },
  ],
  [
    '500 connections with 30 page requests each',
    { connections: 500, bytes: () => get('/device').repeat(30) },
  ],
  [
    '200 connections with 30 page requests each, whose clients read no answers',
    { connections: 200, bytes: () => get('/device').repeat(30), does: 'reads nothing' },
  ],
  [
    '500 connections with 30 page requests each, whose clients disconnect at once',
    { connections: 500, bytes: () => get('/device').repeat(30), does: 'leaves at once' },
  ],
])('the server answers other clients beside %s (CWE-400, CWE-770)', async ([, options]) => {
  const { answers, slowestMilliseconds } = await serveMeanwhile(flood(options))
  expect(child.isAlive()).toBe(true)
  expect(statuses(answers)).toEqual({ 200: answers.length })
  expect(slowestMilliseconds).toBeLessThan(SLOWEST_MILLISECONDS)
  const after = await post(`${child.url}/token`, GRANT, { as: service })
  expect(after.status).toBe(200)
})

test('the server counts and logs rejected requests', async () => {
  const metrics = await (await fetch(`${child.managementUrl}/metrics`)).text()
  expect(metrics).toMatch(/^sallyport_requests_refused_total\{reason="pipelined"\} [1-9]/m)
  expect(child.output()).toContain('"event":"requests.refused"')
})
