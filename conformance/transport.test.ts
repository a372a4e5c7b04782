import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { startServer } from '../src/app/server.ts'
import { parseConfig } from '../src/config/config.ts'
import { createLog } from '../src/log.ts'
import { freePort } from './support/database-server.ts'
import { startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, basic, exchange, expectDiscreet, post, send } from './support/http.ts'
import { expectSafeHeaders, head, sendRaw } from './support/raw-socket.ts'

const FORM = 'application/x-www-form-urlencoded'
const GRANT = 'grant_type=client_credentials'

let server: TestServer
let service: ClientDocument
let slowBodies: ReturnType<typeof sendSlowBodies>

beforeAll(async () => {
  server = await startTestServer()
  service = await server.admin.clients.create({ type: 'service', client_name: 'Bot' })
  // These take half a minute; the other tests run meanwhile.
  slowBodies = sendSlowBodies()
})
afterAll(() => server?.remove())

const tokenRequest = (headers: Record<string, string>, body: string) =>
  head('POST /token HTTP/1.1', { authorization: basic(service), 'content-type': FORM, ...headers }) + body

const sendSlowBodies = () =>
  Promise.all(
    ['/token', '/account/sign-in'].map((path) =>
      sendRaw(server.url, tokenRequest({ 'content-length': '5000' }, GRANT).replace('/token', path), {
        withinMilliseconds: 35_000,
        drip: { chunk: 'x', everyMilliseconds: 1_000 },
      }),
    ),
  )

describe('a malformed request', () => {
  test.for<[string, number, () => string | Buffer]>([
    ['gibberish', 400, () => 'Wie bitte?\r\n\r\n'],
    ['a TLS hello', 400, () => Buffer.from('16030100a5010000a10303', 'hex')],
    ['no host (RFC 9112 §3.2)', 400, () => 'GET / HTTP/1.1\r\n\r\n'],
    ['two hosts (RFC 9112 §3.2)', 400, () => 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
    ['a header without a name', 400, () => 'GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n'],
    ['a space before the colon (RFC 9112 §5.1)', 400, () => 'GET / HTTP/1.1\r\nHost : a\r\n\r\n'],
    ['a folded header (RFC 9112 §5.2)', 400, () => 'GET / HTTP/1.1\r\nHost: a\r\n b: c\r\nX\r\n\r\n'],
    ['NUL in a header', 400, () => head('GET / HTTP/1.1', { 'user-agent': 'a\0b' })],
    ['a bare CR in a header', 400, () => head('GET / HTTP/1.1', { 'user-agent': 'a\rb' })],
    ['NUL in the target', 400, () => head('GET /\0 HTTP/1.1')],
    ['bytes above ASCII in the target (RFC 3986 §2)', 400, () => Buffer.from(head('GET /ü HTTP/1.1'))],
    ['an asterisk as target', 400, () => head('OPTIONS * HTTP/1.1')],
    ['a target that is no URL', 400, () => head('GET http://a:b:c/ HTTP/1.1').replace('/', '|')],
    ['a fragment in the target', 400, () => head('GET /#x HTTP/1.1')],
    ['an unheard-of version', 400, () => head('GET / HTTP/7.0')],
    ['an unknown expectation (RFC 9110 §10.1.1)', 417, () => head('GET / HTTP/1.1', { expect: 'x' })],
    ['40 KB of headers', 431, () => head('GET / HTTP/1.1', { 'x-filler': 'x'.repeat(40_000) })],
    ['20 KB of headers', 431, () => head('GET / HTTP/1.1', { 'x-filler': 'x'.repeat(20_000) })],
    [
      '200 headers',
      431,
      () =>
        head('GET / HTTP/1.1', Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`x-${n}`, 'x']))),
    ],
    ['a URL of 20 KB', 414, () => head(`GET /${'x'.repeat(20_000)} HTTP/1.1`)],
    ['a URL of 60 KB', 414, () => head(`GET /${'x'.repeat(60_000)} HTTP/1.1`)],
  ])('with %s returns %i, with all security headers (ASVS 3.4)', async ([, status, bytes]) => {
    const { answers, text } = await sendRaw(server.url, bytes())
    expect(answers.map((answer) => answer.status)).toEqual([status])
    for (const answer of answers) {
      expectSafeHeaders(answer)
      expectDiscreet({ status: answer.status, text })
    }
  })

  test('with an absolute target is answered by its path, whatever its origin (RFC 9112 §3.2.2)', async () => {
    const target = 'http://evil.example.test/.well-known/openid-configuration'
    const { answers, text } = await sendRaw(server.url, head(`GET ${target} HTTP/1.1`))
    expect(answers[0]?.status).toBe(200)
    expect(text).not.toContain('evil')
  })
})

describe('every answer', () => {
  test('has all security headers (ASVS 3.4)', async () => {
    const css = await send(`${server.url}/assets/style.css`)
    const etag = css.headers.get('etag') ?? ''
    const headers = { origin: 'https://app.example.test', 'access-control-request-method': 'POST' }
    const expected: [number, string, RequestInit][] = [
      [200, '/assets/style.css', {}],
      [304, '/assets/style.css', { headers: { 'if-none-match': etag, 'cache-control': 'max-age=0' } }],
      [303, '/account', {}],
      [303, '/logout', { method: 'POST' }],
      [204, '/token', { method: 'OPTIONS', headers }],
      [204, '/jwks', { method: 'OPTIONS', headers: { ...headers, 'access-control-request-method': 'GET' } }],
      [404, '/account', { method: 'OPTIONS' }],
      [401, '/userinfo', {}],
      [401, '/token', { method: 'POST' }],
      [405, '/token', {}],
      [405, '/nowhere', { method: 'DELETE' }],
      [404, '/nowhere', {}],
    ]
    for (const [status, path, init] of expected) {
      const answer = await send(server.url + path, init)
      expect([status, path, init.method], answer.text).toEqual([answer.status, path, init.method])
      expectSafeHeaders(answer)
    }
  })

  test('has all security headers before the server is ready, too (RFC 9110 §15.6.4)', async () => {
    const port = await freePort()
    const config = parseConfig({ ...server.env, PORT: String(port) })
    const early: Answer[] = []
    const another = await startServer(config, {
      log: createLog({ level: 'silent', format: 'json' }),
      async prepare() {
        early.push(await exchange(`http://127.0.0.1:${port}/`))
      },
    })
    await another.stop()
    expect(early).toMatchObject([{ status: 503, body: { error: 'temporarily_unavailable' } }])
    for (const answer of early) {
      expectSafeHeaders(answer)
      expect(answer.headers.get('retry-after')).toBe('1')
    }
  })
})

describe('an ambiguous request (request smuggling, RFC 9112 §6)', () => {
  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
  test.for<[string, Record<string, string>, string]>([
    ['length and chunks', { 'content-length': '4', 'transfer-encoding': 'chunked' }, `0\r\n\r\n${smuggled}`],
    ['two lengths', { 'content-length': '31\r\nContent-Length: 0' }, GRANT + smuggled],
    ['a list of lengths', { 'content-length': '31, 31' }, GRANT],
    ['a length with a sign', { 'content-length': '+31' }, GRANT],
    ['a negative length', { 'content-length': '-1' }, GRANT],
    ['a hexadecimal length', { 'content-length': '0x1f' }, GRANT],
    ['chunks before another coding', { 'transfer-encoding': 'chunked, gzip' }, `0\r\n\r\n${smuggled}`],
    [
      'chunks twice',
      { 'transfer-encoding': 'chunked\r\nTransfer-Encoding: chunked' },
      `0\r\n\r\n${smuggled}`,
    ],
    ['a coding that only looks like chunks', { 'transfer-encoding': 'xchunked' }, `0\r\n\r\n${smuggled}`],
    ['a broken chunk size', { 'transfer-encoding': 'chunked' }, `1g\r\nx\r\n0\r\n\r\n${smuggled}`],
    [
      'a chunk extension without end',
      { 'transfer-encoding': 'chunked' },
      `1;${'x'.repeat(20_000)}\r\nx\r\n0\r\n\r\n${smuggled}`,
    ],
  ])('with %s is rejected, and the bytes behind it are not answered', async ([, headers, body]) => {
    const { answers, isClosed } = await sendRaw(server.url, tokenRequest(headers, body))
    expect(answers).toHaveLength(1)
    expect([400, 413]).toContain(answers[0]?.status)
    expect(isClosed).toBe(true)
    for (const answer of answers) expectSafeHeaders(answer)
  })

  test('with a body shorter than its length waits for the rest (RFC 9112 §6.3)', async () => {
    const { answers } = await sendRaw(server.url, tokenRequest({ 'content-length': '500' }, GRANT))
    expect(answers).toEqual([])
  })

  test.for([
    ['a body longer than its length', '&scope=x'],
    ['rubbish', 'rubbish\r\n\r\n'],
    ['half a request', 'GET / HTTP/1.1\r\n\r\n'],
  ])('with %s behind it is answered separately', async ([, rest]) => {
    const request = tokenRequest({ 'content-length': String(GRANT.length) }, GRANT)
    const { answers, isClosed } = await sendRaw(server.url, request + rest)
    // The server closes the connection, possibly before an answer.
    expect([200, 400].slice(0, answers.length)).toEqual(answers.map(({ status }) => status))
    expect(isClosed).toBe(true)
  })

  test('among several in one packet is answered in order (RFC 9112 §9.3.2)', async () => {
    const { answers } = await sendRaw(
      server.url,
      tokenRequest({ 'content-length': String(GRANT.length) }, GRANT) +
        head('GET /nowhere HTTP/1.1') +
        head('GET /jwks HTTP/1.1'),
    )
    expect(answers.map(({ status }) => status)).toEqual([200, 404, 200])
    for (const answer of answers) expectSafeHeaders(answer)
  })

  test('by GET with a body is answered, and so is the next one (RFC 9110 §9.3.1)', async () => {
    const { answers } = await sendRaw(
      server.url,
      `${head('GET /device HTTP/1.1', { 'content-length': '11', 'content-type': FORM })}user_code=x${head('GET /jwks HTTP/1.1')}`,
    )
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
  })
})

describe('a body', () => {
  const form = (bytes: number) => `${GRANT}&x=${'x'.repeat(bytes - GRANT.length - 3)}`

  test.for([55, 56])('of %i KB is accepted by the engine and by the pages', async (kilobytes) => {
    const body = form(kilobytes * 1024)
    expect((await post(`${server.url}/token`, body, { as: service })).status).toBe(200)
    const { status } = await post(`${server.url}/account/sign-in`, body)
    expect(status).toBe(403)
  })

  test('whose characters grow when encoded again is accepted', async () => {
    const body = `${GRANT}&x=${'ü'.repeat(28_000)}`
    const headers = { 'content-type': FORM, authorization: basic(service) }
    expect((await send(`${server.url}/token`, { method: 'POST', body, headers })).status).toBe(200)
  })

  test.for(['/token', '/par', '/device', '/account/sign-in', '/interaction/x', '/authorize', '/logout'])(
    'of 60 KB to %s returns 413 (RFC 9110 §15.5.14)',
    async (path) => {
      const answer = await post(`${server.url}${path}`, form(60_000), { as: service })
      expect(answer.status).toBe(413)
      expectSafeHeaders(answer)
    },
  )

  test('with a Content-Length of a gigabyte returns 413 before it is sent', async () => {
    const { answers, milliseconds } = await sendRaw(
      server.url,
      tokenRequest({ 'content-length': '1000000000' }, ''),
      { withinMilliseconds: 300 },
    )
    expect(answers[0]?.status).toBe(413)
    expect(milliseconds).toBeLessThan(1_000)
  })

  test('without a length returns 413 beyond the limit', async () => {
    const chunk = `2000\r\n${'x'.repeat(0x2000)}\r\n`
    const { answers } = await sendRaw(
      server.url,
      tokenRequest({ 'transfer-encoding': 'chunked' }, chunk.repeat(9)),
      { drip: { chunk, everyMilliseconds: 20 } },
    )
    expect(answers.map(({ status }) => status)).toEqual([413])
  })

  test.for(['application/json', 'text/plain', 'multipart/form-data; boundary=x', ';;;'])(
    'of type %s returns 415 on pages, and an OAuth error to programs (RFC 9110 §15.5.16, RFC 6749 §5.2)',
    async (type) => {
      const init = { method: 'POST', body: 'a=b', headers: { 'content-type': type } }
      for (const path of ['/device', '/account/sign-in', '/interaction/x', '/logout/confirm', '/authorize'])
        expect((await send(`${server.url}${path}`, init)).status, path).toBe(415)
      for (const path of ['/token', '/introspect', '/revoke', '/par', '/device/authorize'])
        expect(await send(`${server.url}${path}`, init), path).toMatchObject({
          status: 400,
          body: { error: 'invalid_request' },
        })
    },
  )
})

describe('parameters', () => {
  const many = (count: number) => Array.from({ length: count }, (_, n) => `p${n}=`).join('&')

  test('beyond 200 in a query, a form or cookies return 400', async () => {
    for (const [count, expected] of [
      [200, 200],
      [201, 400],
    ] as const) {
      expect((await send(`${server.url}/device?${many(count)}`)).status).toBe(expected)
      const form = `${GRANT}&${many(count - 1)}`
      expect((await post(`${server.url}/token`, form, { as: service })).status).toBe(expected)
      const cookie = many(count).replaceAll('&', ';')
      expect((await send(`${server.url}/device`, { headers: { cookie } })).status).toBe(expected)
    }
  })

  test.for(['%00', '%ff', '%c3%28', '%c0%80', '%e0%80%80', '%ed%a0%80', '%f4%90%80%80', '%c3', '%e2%82'])(
    'with the invalid escape %s return 400 everywhere (CWE-158, RFC 3629 §3)',
    async (odd) => {
      const { client_id } = service
      for (const path of [
        `/authorize?client_id=${client_id}&state=${odd}`,
        `/device?user_code=${odd}`,
        `/logout?state=x&${odd}=x`,
        `/interaction/${odd}`,
        `/authorize/${odd}`,
        `/${odd}`,
      ])
        expect((await send(server.url + path)).status, path).toBe(400)
      for (const path of ['/token', '/par', '/device', '/account/sign-in', '/introspect']) {
        const headers = { 'content-type': FORM, authorization: basic(service) }
        const body = `${GRANT}&token=${odd}`
        const answer = await send(`${server.url}${path}`, { method: 'POST', body, headers })
        expect(answer, path).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
      }
    },
  )

  test.for([
    'a%00b:secret',
    'a:%00',
    'a:b%00',
    '%ff:%ff',
    '%c0%80:x',
    'a%ed%a0%80:x',
    '\0:\0',
    '\xff:\xff',
    ':',
    '',
    'x',
  ])('%j as Basic credentials are rejected (CWE-158)', async (credentials) => {
    const authorization = `Basic ${Buffer.from(credentials, 'latin1').toString('base64')}`
    for (const path of ['/token', '/introspect', '/revoke', '/par', '/device/authorize']) {
      const answer = await post(`${server.url}${path}`, GRANT, { headers: { authorization } })
      expect([400, 401], path).toContain(answer.status)
    }
  })

  test('with unusual bytes in recorded headers cause no error (CWE-158)', async () => {
    const bytes = Buffer.from(
      tokenRequest(
        { 'user-agent': '\xff\xfe\xc0\x80\x85 \t"\'', 'content-length': String(GRANT.length) },
        GRANT,
      ),
      'latin1',
    )
    const { answers } = await sendRaw(server.url, bytes)
    expect(answers.map(({ status }) => status)).toEqual([200])
  })
})

describe('a slow or silent sender', () => {
  // They run concurrently: together they take as long as the longest timeout.
  test.concurrent('of no bytes is disconnected after 10 s', async () => {
    const { isClosed, milliseconds } = await sendRaw(server.url, '', { withinMilliseconds: 15_000 })
    expect(isClosed).toBe(true)
    expect(milliseconds).toBeLessThan(11_500)
  })

  test.concurrent('of headers on 500 connections gets 408 after 10 s; other requests are served (CWE-400)', async () => {
    const slow = Array.from({ length: 500 }, () =>
      sendRaw(server.url, 'GET / HTTP/1.1\r\nHost: a\r\n', {
        withinMilliseconds: 15_000,
        drip: { chunk: 'x: y\r\n', everyMilliseconds: 1_000 },
      }),
    )
    await pause(2_000)
    const startedAt = performance.now()
    expect((await post(`${server.url}/token`, GRANT, { as: service })).status).toBe(200)
    expect(performance.now() - startedAt).toBeLessThan(1_000)
    for (const { isClosed, milliseconds, answers } of await Promise.all(slow)) {
      expect(isClosed).toBe(true)
      expect(milliseconds).toBeLessThan(11_500)
      expect(answers.map(({ status }) => status)).toEqual([408])
      for (const answer of answers) expectSafeHeaders(answer)
    }
  })

  test.concurrent('of a body gets 408 after 30 s, at the engine and at the pages (RFC 9110 §15.5.9)', async () => {
    for (const { isClosed, milliseconds, answers } of await slowBodies) {
      expect(isClosed).toBe(true)
      expect(milliseconds).toBeLessThan(31_500)
      expect(answers.map(({ status }) => status)).toEqual([408])
      for (const answer of answers) expectSafeHeaders(answer)
    }
  })
})

test('connections beyond 2,000 are refused; earlier ones are served (CWE-770)', async () => {
  const { hostname, port } = new URL(server.url)
  const sockets: Socket[] = []
  let refused = 0
  try {
    for (let opened = 0; opened < 2_100; opened += 100) {
      await Promise.all(
        Array.from({ length: 100 }, async () => {
          const socket = connect({ host: hostname, port: Number(port) })
          socket.on('error', () => {})
          socket.on('close', () => refused++)
          sockets.push(socket)
          await new Promise((done) => socket.once('connect', done).once('close', done))
        }),
      )
    }
    await expect.poll(() => refused, { timeout: 5_000 }).toBeGreaterThanOrEqual(100)
    const [first] = sockets
    const answered = new Promise<string>((done) => first?.once('data', (chunk) => done(chunk.toString())))
    first?.write(head('GET /jwks HTTP/1.1'))
    expect(await answered).toMatch(/^HTTP\/1.1 200/)
  } finally {
    for (const socket of sockets) socket.destroy()
  }
})
