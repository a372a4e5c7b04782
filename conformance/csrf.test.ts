import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestClient, type TestClient } from './support/code-flow.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, post, send } from './support/http.ts'
import { expectSafeHeaders, head, sendRaw } from './support/raw-socket.ts'

const PAGE = { accept: 'text/html,application/xhtml+xml' }
const CREDENTIALS = { username: 'ada', password: PASSWORD }

let server: TestServer
let app: TestClient
let authorizeUrl: URL

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create(CREDENTIALS)
  await server.admin.users.create({ username: 'mallory', password: PASSWORD })
  app = await createTestClient(server, { first_party: true })
  authorizeUrl = (await (await createTestClient(server)).request()).url
})
afterAll(() => server?.remove())

const newUser = () => new EndUser(server.issuer)
const isSignedIn = async (user: EndUser) => (await user.open('/account')).$('h1').text().includes('account')

/** Copies cookies into another browser, as an attacker on a sibling subdomain can set them. */
function plant(from: EndUser, to: EndUser, path: string): void {
  for (const cookie of from.jar.getCookiesSync(`${server.issuer}${path}`))
    if (!/sallyport_(session|remember)/.test(cookie.key)) to.jar.setCookieSync(cookie, server.issuer + path)
}

describe('a form from another origin', () => {
  test.for<[string, Record<string, string>]>([
    ['another site', { 'sec-fetch-site': 'cross-site' }],
    ['another subdomain', { 'sec-fetch-site': 'same-site' }],
    ['another origin', { origin: 'https://evil.example.test' }],
    ['our host on another port', { origin: 'http://localhost:1' }],
    ['a sandboxed frame', { origin: 'null' }],
    ['a sandboxed frame that says so', { origin: 'null', 'sec-fetch-site': 'cross-site' }],
    ['another site with our origin', { origin: 'OWN', 'sec-fetch-site': 'cross-site' }],
  ])('%s returns 403 on every form (RFC 9700 §4.16, CWE-352)', async ([, given]) => {
    const ada = new EndUser(server.issuer)
    const login = await ada.open(authorizeUrl)
    const csrf = String(login.$('input[name=csrf]').val())
    const device = await ada.open('/device')
    const xsrf = String(device.$('input[name=xsrf]').val())
    const forms: [string, Record<string, string>][] = [
      [new URL(login.url).pathname, { csrf, username: 'ada', password: PASSWORD }],
      [new URL(login.url).pathname.replace('interaction', 'INTERACTION'), { csrf }],
      ['/device', { xsrf, user_code: 'BBBB-BBBB' }],
      ['/DEVICE/', { xsrf, user_code: 'BBBB-BBBB' }],
      ['/logout/confirm', { xsrf, action: 'approve' }],
      ['/Logout/Confirm/', { xsrf, action: 'approve' }],
      ['/account/sign-in', { csrf, username: 'ada', password: PASSWORD }],
      ['/ACCOUNT/Sign-In/', { csrf, username: 'ada', password: PASSWORD }],
      ['/account/end', { csrf }],
      ['/account/sign-out-everywhere', { csrf }],
      ['/account/password', { csrf }],
      // Also paths without a page.
      ['/%61ccount/sign-in', { csrf }],
      ['/account//sign-in', { csrf }],
      ['/', { csrf }],
      ['/nowhere', { csrf }],
    ]
    for (const [path, form] of forms) {
      const cookie = await ada.jar.getCookieString(`${server.issuer}${path}`)
      const origin = given.origin === 'OWN' ? { origin: server.issuer } : {}
      const headers = { ...PAGE, ...given, ...origin, cookie }
      const answer = await post(`${server.issuer}${path}`, form, { headers })
      expect(answer.status, path).toBe(403)
      expectSafeHeaders(answer)
    }
  })

  test('is accepted from the issuer’s origin, with or without fetch metadata (CWE-352)', async () => {
    for (const headers of [{}, { 'sec-fetch-site': 'same-origin' }]) {
      const ada = new EndUser(server.issuer)
      ada.headers = headers
      const consent = await ada.submit(await ada.open(authorizeUrl), { username: 'ada', password: PASSWORD })
      expect(consent.$('button[value=approve]')).toHaveLength(1)
    }
  })

  test.for(['login', 'consent'])(
    '%s without its CSRF token, or with that of another browser, returns 403 (ASVS 3.5.1)',
    async (which) => {
      const open = async (): Promise<[EndUser, Page]> => {
        const person = new EndUser(server.issuer)
        const login = await person.open(authorizeUrl)
        if (which === 'login') return [person, login]
        return [person, await person.submit(login, { username: 'ada', password: PASSWORD })]
      }
      const [[ada, page], [, foreign]] = [await open(), await open()]
      const fields = which === 'login' ? { username: 'ada', password: PASSWORD } : { action: 'approve' }
      for (const csrf of [undefined, '', 'x', String(foreign.$('input[name=csrf]').val())]) {
        const form = new URLSearchParams({ ...fields, ...(csrf === undefined ? {} : { csrf }) })
        const refused = await ada.post(page.url, form)
        expect(refused.status).toBe(403)
        expectSafeHeaders(refused)
      }
      // The person's own form still works.
      const next = await ada.submit(page, {}, which === 'consent' ? 'approve' : undefined)
      expect(next.status).not.toBe(403)
    },
  )

  test('of the logout page without its CSRF token does not sign out (RP-Initiated Logout §2, CWE-352)', async () => {
    const ada = new EndUser(server.issuer)
    await ada.signInAndAgree(authorizeUrl)
    await ada.open('/logout')
    for (const xsrf of ['', 'x'.repeat(48)]) {
      const answer = await ada.post('/logout/confirm', new URLSearchParams({ xsrf, action: 'approve' }))
      // The page is shown again with the right token.
      expect(answer.url).toMatch(/\/logout\?/)
      expect(answer.$('button[name=action][value=approve]')).toHaveLength(1)
      expectSafeHeaders(answer)
    }
    expect((await ada.open(authorizeUrl)).leftTo?.searchParams.has('code')).toBe(true)
  })
})

describe('a request with a safe or unknown method', () => {
  test.for(['PUT', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND', 'LINK'])(
    'by %s returns 405 on every page and endpoint (RFC 9110 §15.5.6)',
    async (method) => {
      for (const path of ['/', '/account', '/device', '/interaction/x', '/logout/confirm', '/token', '/x'])
        await raw(method, path).then((answer) => {
          expect(answer.status, path).toBe(405)
          expect(answer.headers.get('allow')).toContain('POST')
          expectSafeHeaders(answer)
        })
    },
  )

  test('by HEAD returns the headers of GET without a body, by OPTIONS nothing (RFC 9110 §9.3.2)', async () => {
    for (const path of ['/', '/account/sign-in', '/device', '/logout', '/nowhere', '/assets/style.css']) {
      const [get, head] = [await send(server.issuer + path, { headers: PAGE }), await raw('HEAD', path)]
      expect(head, path).toMatchObject({ status: get.status, text: '' })
      expectSafeHeaders(head)
      const options = await raw('OPTIONS', path)
      expect(options.status).toBeLessThan(500)
      expectSafeHeaders(options)
    }
  })
})

describe('login CSRF', () => {
  test('with the form of another browser returns 403, also on the account page (ASVS 3.5.1)', async () => {
    for (const start of [authorizeUrl.href, '/account/sign-in']) {
      const [mallory, ada] = [newUser(), newUser()]
      const theirs = await mallory.open(start)
      const own = await ada.open(start)
      const csrf = String(theirs.$('input[name=csrf]').val())
      const form = new URLSearchParams({ username: 'mallory', password: PASSWORD, csrf })
      expect((await ada.post(own.url, form)).status).toBe(403)
      expect(await isSignedIn(ada)).toBe(false)
    }
  })

  test.for([
    ['/account/sign-in', 'sallyport_sign_in'],
    ['/device', 'sallyport_session'],
  ] as const)('on %s an unsigned cookie is ignored', async ([path, name]) => {
    const ada = newUser()
    ada.jar.setCookieSync(`${name}=chosen-by-mallory; Path=${path}`, server.issuer + path)
    await ada.open(path)
    const kept = ada.jar.getCookiesSync(server.issuer + path).filter(({ key }) => key === name)
    expect(kept.filter(({ value }) => value !== 'chosen-by-mallory')).toHaveLength(1)
  })

  test.for(['same-site', 'cross-site'])(
    'with interaction cookies of another browser is rejected on a %s page (RFC 9700 §4.7)',
    async (site) => {
      const [mallory, ada] = [newUser(), newUser()]
      const login = await mallory.open((await app.request()).url)
      const answer = await send(login.url, {
        method: 'POST',
        body: new URLSearchParams({
          username: 'mallory',
          password: PASSWORD,
          csrf: String(login.$('input[name=csrf]').val()),
        }),
        headers: { cookie: await mallory.jar.getCookieString(login.url) },
      })
      const { pathname } = new URL(answer.headers.get('location') ?? '')
      expect(pathname).toMatch(/^\/authorize\//)
      plant(mallory, ada, pathname)
      ada.headers = { 'sec-fetch-site': site }
      const page = await ada.open(pathname)
      expect(page.status).toBe(403)
      expect(page.leftTo).toBeUndefined()
      ada.headers = {}
      expect(await isSignedIn(ada)).toBe(false)
      // The browser of the request continues, by the redirect of the server.
      mallory.headers = { 'sec-fetch-site': 'same-origin' }
      expect((await mallory.open(pathname)).leftTo?.searchParams.has('code')).toBe(true)
    },
  )
})

/** `fetch` refuses some methods. */
async function raw(method: string, path: string): Promise<Answer> {
  const { answers } = await sendRaw(server.url, head(`${method} ${path} HTTP/1.1`, PAGE), {
    withinMilliseconds: 150,
  })
  const [answer] = answers
  return {
    status: answer?.status ?? 0,
    headers: answer?.headers ?? new Headers(),
    text: answer?.body ?? '',
    body: {},
  }
}
