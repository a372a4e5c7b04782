import { once } from 'node:events'
import type { Server, ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { securityHeaders } from '../transport/headers.ts'
import { type Answer, createListener, type Listener } from './listener.ts'
import type { Overload } from './load-limit.ts'

const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const headers = securityHeaders('http://localhost')

// A busy machine is slow.
vi.setConfig({ testTimeout: 30_000 })
const eventually = <T>(look: () => T) => expect.poll(look, { timeout: 20_000, interval: 5 })

let server: Server
let listener: Listener
const clients: Socket[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
})

type Options = { silenceMilliseconds?: number; maxRequestsInFlight?: number; drainMilliseconds?: number }

async function listen(answer: Answer, options: Options = {}): Promise<Overload[]> {
  const overloads: Overload[] = []
  const onOverload = (overload: Overload) => void overloads.push(overload)
  listener = createListener(answer, { headers, onOverload, ...options })
  server = listener.server
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return overloads
}

type Connection = { client: Socket; socket: Socket; text: () => string; closed: Promise<unknown> }

/** A connection, and its received bytes. */
async function open(): Promise<Connection> {
  const connected = once(server, 'connection')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  clients.push(client)
  let text = ''
  client.on('error', () => {})
  client.on('data', (chunk) => {
    text += chunk
  })
  const closed = new Promise((done) => client.once('close', done))
  return { client, socket: (await connected)[0], text: () => text, closed }
}

async function openMany(count: number): Promise<Connection[]> {
  const opened: Connection[] = []
  while (opened.length < count) opened.push(await open())
  return opened
}

const statusesIn = (text: string) =>
  [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status))

const answerWith = (text: string) => (_request: unknown, response: ServerResponse) => {
  response.end(text)
}

/** Answers that the test releases. */
function createHeldAnswers() {
  const held: { response: ServerResponse; finish: () => void }[] = []
  const answer: Answer = (_request, response) =>
    new Promise((done) => {
      const finish = () => {
        response.end('x')
        done()
      }
      held.push({ response, finish })
    })
  return { answer, held }
}

describe('an idle connection', () => {
  test('is closed when its client reads no answers (CWE-400)', async () => {
    await listen(answerWith('x'.repeat(500_000)), { silenceMilliseconds: 300 })
    const { client, socket } = await open()
    const closed = once(socket, 'close')
    client.pause()
    for (let sent = 0; sent < 30; sent++) client.write(REQUEST)
    await closed
  })

  test('asks its client to close it after 10 s (RFC 2068 §19.7.1.1)', async () => {
    await listen(answerWith('x'))
    const { client, text } = await open()
    client.write(REQUEST)
    await once(client, 'data')
    expect(text()).toMatch(/^Keep-Alive: timeout=10\r$/m)
  })

  test('stays open between two requests', async () => {
    await listen(answerWith('x'), { silenceMilliseconds: 300 })
    const { client, socket } = await open()
    client.write(REQUEST)
    await once(client, 'data')
    await pause(1_000)
    expect(socket.destroyed).toBe(false)
    client.write(REQUEST)
    await once(client, 'data')
  })
})

describe('requests in one packet', () => {
  test('are processed and answered in order (RFC 9112 §9.3.2)', async () => {
    const { answer, held } = createHeldAnswers()
    await listen(answer)
    const { client, text } = await open()
    client.write(REQUEST.repeat(32))
    for (let begun = 1; begun <= 32; begun++) {
      await eventually(() => held.length).toBe(begun)
      held.at(-1)?.finish()
    }
    await eventually(() => statusesIn(text())).toHaveLength(32)
  })

  const KINDS: Record<string, string> = {
    GET: REQUEST,
    'GET with a body': 'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde',
    HEAD: 'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
    OPTIONS: 'OPTIONS /token HTTP/1.1\r\nHost: a\r\nOrigin: https://a.test\r\n\r\n',
    'POST with a body': 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde',
    'POST in chunks': 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n',
    'Expect: 100-continue': 'GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n',
    'expectations that are not met': 'GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n',
    'targets that are refused': 'GET /# HTTP/1.1\r\nHost: a\r\n\r\n',
    'requests without a host': 'GET / HTTP/1.1\r\n\r\n',
  }
  test.for(Object.entries(KINDS))(
    'close the connection beyond 32 unanswered: %s (CWE-770)',
    async ([, request]) => {
      const { answer, held } = createHeldAnswers()
      const overloads = await listen(answer)
      const first = await open()
      first.client.write(REQUEST)
      await eventually(() => held.length).toBe(1)
      first.client.write(request.repeat(1_000))
      await first.closed
      expect(held).toHaveLength(1)
      expect(overloads).toEqual(['pipelined'])
      const other = await open()
      other.client.write(REQUEST)
      await eventually(() => held.length).toBe(2)
      held[1]?.finish()
      await eventually(() => statusesIn(other.text())).toEqual([200])
    },
  )

  test('close their connection when more than 1,000 wait on all connections together', async () => {
    const { answer, held } = createHeldAnswers()
    const overloads = await listen(answer)
    const opened = await openMany(50)
    for (const { client } of opened) client.write(REQUEST.repeat(31))
    // 33 connections have 30 waiting requests each; each further connection is closed when its second request would
    // wait.
    await eventually(() => overloads.length).toBe(50 - Math.floor(1_000 / 30))
    expect(held).toHaveLength(50)
    for (const { finish } of held) finish()
  })

  test('are released when their connection is lost', async () => {
    const { answer, held } = createHeldAnswers()
    const overloads = await listen(answer)
    for (let round = 1; round <= 3; round++) {
      const opened = await openMany(20)
      for (const { client } of opened) client.write(REQUEST.repeat(32))
      await eventually(() => held.length).toBe(20 * round)
      const lost = opened.map(({ socket }) => once(socket, 'close'))
      for (const { client } of opened) client.destroy()
      await Promise.all(lost)
    }
    expect(overloads).toEqual([])
  })
})

describe('requests in flight on all connections', () => {
  test('get 503 with Retry-After beyond the limit, without being processed (RFC 9110 §15.6.4)', async () => {
    const { answer, held } = createHeldAnswers()
    const overloads = await listen(answer, { maxRequestsInFlight: 3 })
    for (let begun = 1; begun <= 3; begun++) {
      const { client } = await open()
      client.write(REQUEST)
      await eventually(() => held.length).toBe(begun)
    }
    const refused = await open()
    refused.client.write(REQUEST)
    await refused.closed
    expect(statusesIn(refused.text())).toEqual([503])
    expect(refused.text()).toMatch(/^Retry-After: 1\r$/m)
    expect(refused.text()).toMatch(/^X-Frame-Options: DENY\r$/m)
    expect(overloads).toEqual(['in_flight'])
    held[0]?.finish()
    const served = await open()
    served.client.write(REQUEST)
    await eventually(() => held.length).toBe(4)
  })

  test('count until their work is done, whether or not their clients wait for it', async () => {
    const { answer, held } = createHeldAnswers()
    const overloads = await listen(answer, { maxRequestsInFlight: 3 })
    for (let begun = 1; begun <= 3; begun++) {
      const { client, socket } = await open()
      client.write(REQUEST)
      await eventually(() => held.length).toBe(begun)
      const lost = once(socket, 'close')
      client.destroy()
      await lost
    }
    const refused = await open()
    refused.client.write(REQUEST)
    await refused.closed
    expect(overloads).toEqual(['in_flight'])
  })

  test('do not count while their body is arriving (CWE-400)', async () => {
    const { answer, held } = createHeldAnswers()
    const overloads = await listen(answer, { maxRequestsInFlight: 3 })
    const slow = await openMany(10)
    for (const { client } of slow) client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcd')
    await eventually(() => held.length).toBe(10)
    const served = await open()
    served.client.write(REQUEST)
    await eventually(() => held.length).toBe(11)
    held[10]?.finish()
    await eventually(() => statusesIn(served.text())).toEqual([200])
    expect(overloads).toEqual([])
  })
})

describe('a stopping listener', () => {
  const closings = (text: string) => [...text.matchAll(/^Connection: (\S+)/gim)].map(([, value]) => value)

  test('sends Connection: close in each answer, also to a running request (RFC 9112 §9.6)', async () => {
    const { answer, held } = createHeldAnswers()
    await listen(answer)
    const [begun, idle] = await openMany(2)
    begun?.client.write(REQUEST)
    await eventually(() => held.length).toBe(1)
    listener.closeAfterAnswers()
    idle?.client.write(REQUEST)
    await eventually(() => held.length).toBe(2)
    // Before its port is closed.
    const late = await open()
    late.client.write(REQUEST)
    await eventually(() => held.length).toBe(3)
    for (const { finish } of held) finish()
    for (const connection of [begun, idle, late]) {
      await connection?.closed
      expect(statusesIn(connection?.text() ?? '')).toEqual([200])
      expect(closings(connection?.text() ?? '')).toEqual(['close'])
    }
  })

  test('answers every request of a pipeline before it closes the connection', async () => {
    const { answer, held } = createHeldAnswers()
    await listen(answer)
    const { client, text, closed } = await open()
    client.write(REQUEST.repeat(3))
    await eventually(() => held.length).toBe(1)
    listener.closeAfterAnswers()
    client.write(REQUEST.repeat(2))
    for (let begun = 1; begun <= 5; begun++) {
      await eventually(() => held.length).toBe(begun)
      held.at(-1)?.finish()
    }
    await closed
    expect(statusesIn(text())).toHaveLength(5)
    expect(closings(text()).at(-1)).toBe('close')
    expect(closings(text()).slice(0, -1)).not.toContain('close')
  })

  test('answers a request on a connection that was idle', async () => {
    await listen(answerWith('x'))
    const { client, socket, text, closed } = await open()
    client.write(REQUEST)
    await once(client, 'data')
    const stopped = listener.close({ graceMilliseconds: 10_000 })
    await eventually(() => server.listening).toBe(false)
    expect(socket.destroyed).toBe(false)
    client.write(REQUEST)
    await closed
    expect(statusesIn(text())).toEqual([200, 200])
    await stopped
  })

  test('accepts and answers connections while new ones arrive', async () => {
    await listen(answerWith('x'))
    let isStopped = false
    await open()
    const stopped = listener.close({ graceMilliseconds: 20_000 }).then(() => {
      isStopped = true
    })
    const startedAt = performance.now()
    while (performance.now() - startedAt < 1_500) {
      const { client, text, closed } = await open()
      client.write(REQUEST)
      await closed
      expect(statusesIn(text())).toEqual([200])
    }
    expect(isStopped).toBe(false)
    // No connection arrives any more.
    await eventually(() => server.listening).toBe(false)
    for (const client of clients) client.destroy()
    await stopped
  })

  test('accepts no connection after the grace period', async () => {
    await listen(answerWith('x'))
    const { port } = server.address() as AddressInfo
    const isAccepted = () =>
      new Promise((done) => {
        const client = connect(port, '127.0.0.1', () => done(true))
        clients.push(client)
        client.on('error', () => done(false))
      })
    expect(await isAccepted()).toBe(true)
    const stopped = listener.close({ graceMilliseconds: 200 })
    while (await isAccepted()) await pause(10)
    for (const client of clients) client.destroy()
    await stopped
  })

  test('closes an idle connection after the grace period', async () => {
    await listen(answerWith('x'))
    const { client, closed } = await open()
    client.write(REQUEST)
    await once(client, 'data')
    await listener.close({ graceMilliseconds: 100 })
    await closed
  })

  test('waits for a body that is still being sent, and for the head of a request', async () => {
    await listen(answerWith('x'))
    const [body, heading] = await openMany(2)
    body?.client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na')
    heading?.client.write('GET / HTTP/1.1\r\nHost: a\r\n')
    await eventually(() => heading?.socket.bytesRead).toBeGreaterThan(0)
    await eventually(() => body?.socket.bytesRead).toBeGreaterThan(0)
    const stopped = listener.close()
    await pause(300)
    for (const connection of [body, heading]) expect(connection?.socket.destroyed).toBe(false)
    body?.client.write('b')
    heading?.client.write('\r\n')
    await stopped
    expect(statusesIn(body?.text() ?? '')).toEqual([200])
    expect(statusesIn(heading?.text() ?? '')).toEqual([200])
  })

  test('keeps a connection whose answer is still being sent', async () => {
    const BYTES = 30_000_000
    await listen(answerWith('x'.repeat(BYTES)))
    const { client, socket, text, closed } = await open()
    client.pause()
    client.write(REQUEST)
    await eventually(() => socket.bytesWritten).toBeGreaterThan(BYTES)
    const stopped = listener.close()
    await pause(300)
    client.resume()
    await Promise.all([stopped, closed])
    expect(text().length).toBeGreaterThan(BYTES)
  })

  test('waits for the work of a client that disconnected', async () => {
    const { answer, held } = createHeldAnswers()
    await listen(answer)
    const { client, socket } = await open()
    client.write(REQUEST)
    await eventually(() => held.length).toBe(1)
    client.destroy()
    await once(socket, 'close')
    let isStopped = false
    const stopped = listener.close().then(() => {
      isStopped = true
    })
    await pause(300)
    expect(isStopped).toBe(false)
    held[0]?.finish()
    await stopped
  })

  test('closes silent readers, endless work and idle connections at its limit', async () => {
    const { answer, held } = createHeldAnswers()
    const long = answerWith('x'.repeat(30_000_000))
    const either: Answer = (request, response) =>
      request.url === '/long' ? long(request, response) : answer(request, response)
    await listen(either, { drainMilliseconds: 300 })
    const [working, idle, silent] = await openMany(3)
    silent?.client.pause()
    silent?.client.write(REQUEST.replace('/', '/long'))
    working?.client.write(REQUEST)
    await eventually(() => held.length).toBe(1)
    await listener.close({ graceMilliseconds: 10_000 })
    silent?.client.resume()
    await Promise.all([working?.closed, idle?.closed, silent?.closed])
    expect(statusesIn(working?.text() ?? '')).toEqual([])
  })
})
