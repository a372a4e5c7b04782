import { request as httpRequest } from 'node:http'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, expectDiscreet, post, send } from './support/http.ts'
import { CALLBACK, createRelyingParty } from './support/relying-party.ts'

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const ENDPOINTS = ['/token', '/introspect', '/revoke', '/par', '/device/authorize', '/userinfo']
const PAGE = { accept: 'text/html,application/xhtml+xml' }

let server: TestServer
let web: ClientDocument
let service: ClientDocument
let authorizeUrl: URL

beforeAll(async () => {
  server = await startTestServer()
  const { clients, users } = server.admin
  for (const username of ['ada', 'disabled']) await users.create({ username, password: PASSWORD })
  await users.disable({ username: 'disabled' })
  web = await clients.create({
    type: 'web',
    client_name: 'Dash & <b>Board</b>',
    redirect_uris: [CALLBACK],
    post_logout_redirect_uris: ['https://app.example.test/bye'],
  })
  service = await clients.create({ type: 'service', client_name: 'Bot' })
  authorizeUrl = (await (await createRelyingParty(server.issuer, web)).request()).url
})
afterAll(() => server?.remove())

function directives(headers: Headers): string[] {
  return (headers.get('content-security-policy') ?? '').split(/\s*;\s*/)
}

/** Expects the security headers of every page (ASVS 3.4). */
function expectPageHeaders({ headers }: Pick<Answer, 'headers'>): void {
  expect(headers.get('content-type')).toMatch(/^text\/html; charset=utf-8/)
  expect(directives(headers)).toEqual([
    "default-src 'none'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    // A page of the engine adds the hash of its script.
    expect.stringMatching(/^script-src 'nonce-[\w+/=]{22,}'( 'sha256-[\w+/=]+')?$/),
    "connect-src 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    expect.stringMatching(/^form-action 'self'( https:\/\/app\.example\.test)?$/),
  ])
  expect(Object.fromEntries(headers)).toMatchObject({
    'x-frame-options': 'DENY',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'permissions-policy': expect.stringContaining('camera=()'),
    'cache-control': 'no-store',
  })
  for (const name of ['server', 'x-powered-by']) expect(headers.has(name)).toBe(false)
}

/** Sends a path unchanged; a URL parser would normalise it. */
function raw(path: string, headers: Record<string, string> = {}): Promise<Answer> {
  const { hostname, port } = new URL(server.issuer)
  return new Promise((done, fail) => {
    const outgoing = httpRequest({ hostname, port, path, headers }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const all = new Headers()
        for (const [name, value] of Object.entries(response.headers)) all.set(name, String(value))
        expectDiscreet({ status: response.statusCode ?? 0, text })
        done({ status: response.statusCode ?? 0, headers: all, text, body: {} })
      })
    })
    outgoing.on('error', fail)
    outgoing.end()
  })
}

describe('a malformed request', () => {
  const own = ['/authorize', '/interaction/unknown', '/device', '/logout/confirm', '/logout']

  test.for(
    [...ENDPOINTS, ...own].flatMap((path) =>
      ['token=a%00b', 'client_id=p%00', '%00=x'].map((body) => [path, body]),
    ),
  )('with a NUL byte to %s (%s) returns 400 (CWE-158)', async ([path, body]) => {
    const answer = await send(`${server.issuer}${path}`, { method: 'POST', body: body ?? '', headers: FORM })
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
  })

  test.for([
    '/authorize?client_id=a%00',
    '/device?user_code=%00',
    '/logout?id_token_hint=%00',
    '/interaction/%00',
    '/%00',
    '/assets/%00',
  ])('with a NUL byte in %s returns 400 (CWE-158)', async (path) => {
    const answer = await send(`${server.issuer}${path}`, { headers: PAGE })
    expect(answer.status).toBe(400)
    expectPageHeaders(answer)
  })

  test('with a body that is not UTF-8 returns 400 (RFC 6749 appendix B)', async () => {
    for (const bytes of [[0xff, 0xfe], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0x00]]) {
      const body = Buffer.concat([Buffer.from('grant_type='), Buffer.from(bytes)])
      const answer = await send(`${server.issuer}/token`, { method: 'POST', body, headers: FORM })
      expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    }
  })

  test.for(['%', '%zz', '%u0000', '=&=&&', 'a[b]=c', '__proto__=x', 'constructor=x'])(
    'with the unusual escape %s returns a client error (RFC 6749 appendix B)',
    async (odd) => {
      const body = `grant_type=client_credentials&${odd}&scope=${odd}`
      const authorization = `Basic ${btoa(`${service.client_id}:${service.client_secret}`)}`
      const answer = await send(`${server.issuer}/token`, {
        method: 'POST',
        body,
        headers: { ...FORM, authorization },
      })
      expect([200, 400]).toContain(answer.status)
      const page = await send(`${server.issuer}/authorize?client_id=${odd}&${odd}`, { headers: PAGE })
      expect(page.status).toBe(400)
    },
  )

  test.for<[string, number, RequestInit]>([
    ['a form of 65 KB', 413, { body: `token=${'x'.repeat(65 * 1024)}`, headers: FORM }],
    [
      'a compressed form',
      415,
      { body: gzipSync('token=x'), headers: { ...FORM, 'content-encoding': 'gzip' } },
    ],
    [
      'JSON',
      400,
      { body: '{"grant_type":"client_credentials"}', headers: { 'content-type': 'application/json' } },
    ],
    ['plain text', 400, { body: 'token=x', headers: { 'content-type': 'text/plain' } }],
    ['20 KB of headers', 431, { body: 'token=x', headers: { ...FORM, 'x-filler': 'x'.repeat(20 * 1024) } }],
  ])('to /token or a page with %s returns %i (RFC 6749 §3.2, RFC 9110 §15.5)', async ([, status, init]) => {
    const answer = await send(`${server.issuer}/token`, { method: 'POST', ...init })
    expect(answer).toMatchObject({ status, body: { error: 'invalid_request' } })
    expect(answer.headers.get('cache-control')).toBe('no-store')
    if (status === 400) return
    const headers = { ...init.headers, ...PAGE }
    const page = await send(`${server.issuer}/device`, { method: 'POST', ...init, headers })
    expect(page.status).toBe(status)
    expectPageHeaders(page)
  })

  test('with a chunked body beyond the limit returns 413 (RFC 9110 §15.5.14)', async () => {
    const body = new ReadableStream({
      start(controller) {
        for (let kilobytes = 0; kilobytes < 100; kilobytes++) controller.enqueue(Buffer.alloc(1024, 'x'))
        controller.close()
      },
    })
    const init = { method: 'POST', body, headers: FORM, duplex: 'half' } as const
    expect((await send(`${server.issuer}/token`, init)).status).toBe(413)
  })

  test('with a URL of 17 KB returns 414 (RFC 9110 §15.5.15)', async () => {
    const answer = await send(`${server.issuer}/authorize?state=${'x'.repeat(17 * 1024)}`, { headers: PAGE })
    expect(answer.status).toBe(414)
    expectPageHeaders(answer)
  })

  test('with a repeated parameter returns invalid_request without using either value (RFC 6749 §3.2)', async () => {
    for (const [path, name] of [
      ['/token', 'grant_type'],
      ['/token', 'scope'],
      ['/introspect', 'token'],
    ] as const) {
      const form: [string, string][] = [
        ...(path === '/token' && name !== 'grant_type'
          ? [['grant_type', 'client_credentials'] as [string, string]]
          : []),
        [name, 'client_credentials'],
        [name, 'client_credentials'],
      ]
      const answer = await post(`${server.issuer}${path}`, form, { as: service })
      expect(answer, `${path} ${name}`).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
    }
  })

  test.for(['/token', '/introspect', '/revoke', '/par', '/device/authorize', '/logout/confirm'])(
    'by GET to %s returns 404 or 405 (RFC 6749 §3.2)',
    async (path) => expect([404, 405]).toContain((await send(`${server.issuer}${path}`)).status),
  )
})

describe('a request that no browser sends', () => {
  const types = ['multipart/form-data; boundary=x', 'text/plain', 'application/json', ';;;', 'x'.repeat(5000)]
  const charsets = ['utf-16', 'nonsense', '"', ''].map(
    (charset) => `${FORM['content-type']}; charset=${charset}`,
  )
  const cookies = [
    'sallyport_session=%00',
    'sallyport_session=a; sallyport_session.sig=b',
    'sallyport_interaction=x; sallyport_interaction.sig=y; sallyport_resume=x; sallyport_resume.sig=y',
    '"; =;;;',
    '%=%',
  ]
  const pages = [
    '/device',
    '/logout',
    '/logout/confirm',
    '/interaction/unknown',
    '/authorize',
    '/authorize/unknown',
  ]

  test.for([...pages, '/device/unknown', '/logout/success', ...ENDPOINTS])(
    'to %s with unusual types and cookies returns a client error (RFC 9110 §8.3)',
    async (path) => {
      for (const type of [FORM['content-type'], ...types, ...charsets]) {
        const headers = { ...PAGE, 'content-type': type }
        const answer = await send(`${server.issuer}${path}`, { method: 'POST', body: 'a=b', headers })
        expect([303, 400, 401, 403, 404, 405, 415], type.slice(0, 60)).toContain(answer.status)
        // Programs get JSON whatever their Accept header (RFC 6749 §5.2).
        if (ENDPOINTS.includes(path)) expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
        else if (answer.status !== 303) expectPageHeaders(answer)
      }
      for (const cookie of cookies)
        for (const method of ['GET', 'POST'])
          await send(`${server.issuer}${path}`, { method, headers: { ...PAGE, cookie } })
    },
  )
})

describe('an unknown path', () => {
  test('returns a page to browsers and JSON to programs (ASVS 3.4)', async () => {
    const page = await send(`${server.issuer}/nowhere`, { headers: PAGE })
    expect(page.status).toBe(404)
    expectPageHeaders(page)
    for (const headers of [{ accept: 'application/json' }, { accept: '*/*' }]) {
      const answer = await send(`${server.issuer}/nowhere`, { headers })
      expect(answer).toMatchObject({ status: 404, body: { error: 'not_found' } })
      expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
      expect(answer.headers.get('cache-control')).toBe('no-store')
    }
  })

  test.for([
    '/assets/..%2f..%2fpackage.json',
    '/assets/../../package.json',
    '/assets/..\\..\\package.json',
    '/assets/%2e%2e/%2e%2e/etc/passwd',
    '/assets/style.css/..%2f..%2flayout.eta',
    '/assets/layout.eta',
    '/assets/',
    '/%',
    '//evil.example.test/%2e%2e',
    `/assets/${'a/'.repeat(2000)}`,
    '/.env',
    '/health/live',
    '/metrics',
    '/admin',
  ])('such as %s returns no file (CWE-22)', async (path) => {
    const answer = await raw(path)
    expect(answer.status).toBe(404)
    expect(answer.text).not.toMatch(/root:|"dependencies"|<%/)
  })

  test('with a forged host names only the issuer (CVE-2025-64101)', async () => {
    const headers = {
      host: 'evil.example.test',
      'x-forwarded-host': 'evil.example.test',
      forwarded: 'host=evil.example.test',
    }
    const answer = await raw('/.well-known/openid-configuration', headers)
    expect(answer.status).toBe(200)
    expect(answer.text).not.toContain('evil')
    expect(answer.text).toContain(server.issuer)
  })
})

describe('a page', () => {
  test('has all security headers, whatever its status (ASVS 3.4, RFC 9700 §4.16)', async () => {
    for (const [path, status] of [
      ['/', 200],
      ['/device', 200],
      ['/logout', 200],
      ['/authorize?client_id=nobody', 400],
      ['/interaction/unknown', 400],
      ['/authorize/unknown', 400],
      ['/device/unknown', 400],
      ['/nowhere', 404],
    ] as const) {
      const answer = await send(`${server.issuer}${path}`, { headers: PAGE })
      expect(answer.status, path).toBe(status)
      expectPageHeaders(answer)
    }
  })

  test('has a new script nonce each time (CSP 3 §7.1)', async () => {
    const nonces = await Promise.all(
      [1, 2].map(async () =>
        (await send(server.issuer, { headers: PAGE })).headers.get('content-security-policy'),
      ),
    )
    expect(nonces[0]).not.toBe(nonces[1])
  })

  test('of sign-in and consent allows form redirects to the app’s origin alone (CSP 3 §6.4)', async () => {
    const ada = new EndUser(server.issuer)
    const login = await ada.open(authorizeUrl)
    const consent = await ada.submit(login, { username: 'ada', password: PASSWORD })
    expect(consent.$('button[value=approve]')).toHaveLength(1)
    for (const page of [login, consent]) {
      expectPageHeaders(page)
      expect(directives(page.headers)).toContain(`form-action 'self' ${new URL(CALLBACK).origin}`)
      expect(
        page.$('script:not([src^="/assets/page.js?v="]), [onclick], [onload], [onerror], base, iframe'),
      ).toHaveLength(0)
      expect(page.$('bdi').text()).toContain('Dash & <b>Board</b>')
      expect(page.$('bdi b')).toHaveLength(0)
    }
    const ordinary = await ada.open('/device')
    expect(directives(ordinary.headers)).toContain("form-action 'self'")
  })
})

describe('sign-in', () => {
  const attempt = async (username: string, password: string) => {
    const ada = new EndUser(server.issuer)
    const page = await ada.submit(await ada.open(authorizeUrl), { username, password })
    const csrf = String(page.$('input[name=csrf]').val())
    const headers = Object.fromEntries(
      [...page.headers].filter(([name]) => !['date', 'x-request-id', 'content-length'].includes(name)),
    )
    headers['content-security-policy'] = headers['content-security-policy']?.replace(/nonce-[^']+/, '') ?? ''
    headers['set-cookie'] = headers['set-cookie']?.replace(/=[^;]*/g, '') ?? ''
    const html = [csrf, username, String(page.$('script').attr('nonce'))].reduce(
      (rest, own) => rest.replaceAll(own, ''),
      page.html.replaceAll(/interaction=[\w-]+/g, ''),
    )
    return { page, shown: { status: page.status, headers, html } }
  }

  test('fails in the same way for an unknown person, a disabled one and a wrong password (ASVS 6.3.8)', async () => {
    const mistaken = await attempt('ada', 'not the password of ada')
    expect(mistaken.shown.status).toBe(400)
    expect(mistaken.page.$('[role=alert]')).toHaveLength(1)
    for (const [username, password] of [
      ['nobody', PASSWORD],
      ['disabled', PASSWORD],
      ['disabled', 'not the password'],
      ['ada', 'x'.repeat(1025)],
    ] as const)
      expect((await attempt(username, password)).shown).toEqual(mistaken.shown)
  })

  test.for([
    '"><script>alert(1)</script>',
    "ada' or '1'='1",
    "ada'; drop table account; --",
    "' onfocus='alert(1)",
    '{{7*7}}<%= 7*7 %>',
    'ada\r\nSet-Cookie: a=b',
    'ada\u202e',
    '\ud83d\ude00',
  ])('as %s shows the text as typed and fails (CWE-79, CWE-89)', async (username) => {
    const { page } = await attempt(username, PASSWORD)
    expect(page.status).toBe(400)
    expect(page.$('script:not([src^="/assets/page.js?v="]), [onfocus]:not([autofocus])')).toHaveLength(0)
    expect(page.headers.get('set-cookie') ?? '').not.toContain('a=b')
    // Form data normalises line breaks, and an input of one line drops them.
    const shown = String(page.$('input[name=username]').val()).replaceAll(/[\r\n]/g, '')
    expect(shown).toBe(username.replaceAll(/[\r\n]/g, ''))
    expect((await attempt('ada', PASSWORD)).page.status).toBeLessThan(400)
  })

  test('with missing, huge or repeated fields returns 400 and the form (ASVS 2.2)', async () => {
    for (const fields of [
      { username: '', password: '' },
      { username: 'a'.repeat(5000), password: PASSWORD },
      { username: 'ada', password: 'x'.repeat(20_000) },
      { username: ['nobody', 'ada'], password: ['wrong', PASSWORD] },
    ]) {
      const ada = new EndUser(server.issuer)
      const page = await ada.submit(await ada.open(authorizeUrl), fields)
      expect(page.status).toBe(400)
      expect(page.$('input[name=password]')).toHaveLength(1)
    }
  })
})
