import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { later } from './support/clock.ts'
import { cloneBrowser, createTestClient, type TestClient } from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { send } from './support/http.ts'

const COOKIE = 'sallyport_session'
const MINUTE_SECONDS = 60
const HOUR_SECONDS = 3600

let server: TestServer
let app: TestClient

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  app = await createTestClient(server, { first_party: true })
})
afterAll(() => server?.remove())

async function signIn(): Promise<EndUser> {
  const user = new EndUser(server.issuer)
  await app.getCode({}, user)
  return user
}

/** Sends a request with exactly these cookies: the server must not rely on a browser to delete them. */
async function askWith(cookie: string): Promise<string> {
  const { url } = await app.request({ prompt: 'none' })
  const { headers } = await send(String(url), { headers: { cookie } })
  const { searchParams } = new URL(headers.get('location') ?? '')
  return searchParams.has('code') ? 'signed in' : String(searchParams.get('error'))
}

const cookiesOf = (user: EndUser) => user.jar.getCookieString(server.issuer)

describe('the session cookie', () => {
  test('is HttpOnly and SameSite (ASVS 3.3)', async () => {
    const user = await signIn()
    const cookies = user.jar.getCookiesSync(server.issuer).filter(({ key }) => key.startsWith(COOKIE))
    expect(cookies.map(({ key }) => key).sort()).toEqual([COOKIE, `${COOKIE}.sig`])
    for (const { httpOnly, sameSite, path, domain, hostOnly } of cookies)
      expect({ httpOnly, sameSite, path, domain, hostOnly }).toEqual({
        httpOnly: true,
        sameSite: 'lax',
        path: '/',
        domain: 'localhost',
        hostOnly: true,
      })
  })

  test('that an attacker planted is replaced at sign-in and never signed in (ASVS 7.2.4)', async () => {
    const attacker = new EndUser(server.issuer)
    await attacker.open('/device')
    const planted = attacker.cookie(COOKIE)
    expect(planted).toBeTruthy()
    const plantedCookies = await cookiesOf(attacker)
    const victim = cloneBrowser(attacker)
    await app.getCode({}, victim)
    expect(victim.cookie(COOKIE)).toBeTruthy()
    expect(victim.cookie(COOKIE)).not.toBe(planted)
    expect(await askWith(await cookiesOf(victim))).toBe('signed in')
    expect(await askWith(plantedCookies)).toBe('login_required')
    expect((await app.authorizeSilently(attacker)).get('error')).toBe('login_required')
  })

  test('changes when the person signs in again, and the previous one is rejected (ASVS 7.2.4)', async () => {
    const user = await signIn()
    const before = await cookiesOf(user)
    const page = await user.open((await app.request({ prompt: 'login' })).url)
    await user.submit(page, { username: 'ada', password: PASSWORD })
    expect(await askWith(await cookiesOf(user))).toBe('signed in')
    expect(await askWith(before)).toBe('login_required')
  })

  test('that is forged, unsigned or guessed is rejected (ASVS 7.2.3)', async () => {
    const user = await signIn()
    const id = user.cookie(COOKIE) ?? ''
    const signature = user.cookie(`${COOKIE}.sig`) ?? ''
    const cookies = (value: string, sig?: string) =>
      `${COOKIE}=${value}${sig === undefined ? '' : `; ${COOKIE}.sig=${sig}`}`
    const flip = (text: string) => (text.startsWith('A') ? 'B' : 'A') + text.slice(1)
    expect(await askWith(cookies(id, signature))).toBe('signed in')
    for (const forged of [
      cookies(id),
      cookies(id, ''),
      cookies(id, flip(signature)),
      cookies(id, signature.slice(0, -1)),
      cookies(flip(id), signature),
      cookies(`${id}x`, signature),
      cookies('guess', signature),
      cookies('', signature),
      cookies(`' or 1=1 --`, signature),
    ])
      expect(await askWith(forged), forged).toBe('login_required')
    expect(await askWith(cookies(id, signature))).toBe('signed in')
  })
})

describe('over https', () => {
  test('every cookie is Secure, HttpOnly and host-only (ASVS 3.3.1, 3.3.4)', async () => {
    const secure = await startTestServer({
      ISSUER: 'https://login.example.test',
      SELF_REGISTRATION: 'on',
      SMTP_URL: 'smtps://mail.example.test',
    })
    try {
      await secure.admin.users.create({ username: 'ada', password: PASSWORD })
      const user = new EndUser(secure.issuer, secure.url)
      const document = await secure.admin.clients.create({
        type: 'web',
        client_name: 'App',
        redirect_uris: ['https://app.example.test/callback'],
        first_party: true,
      })
      const query = new URLSearchParams({
        client_id: document.client_id,
        redirect_uri: 'https://app.example.test/callback',
        response_type: 'code',
        scope: 'openid',
        code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
        code_challenge_method: 'S256',
      })
      const page = await user.open(`/authorize?${query}`)
      const left = await user.submit(page, { username: 'ada', password: PASSWORD, remember: 'yes' })
      expect(left.leftTo?.searchParams.has('code')).toBe(true)
      const other = new EndUser(secure.issuer, secure.url)
      await other.open('/account/sign-in')
      await other.open('/account/register')

      const cookies = [...user.cookiesSet, ...other.cookiesSet]
      const names = cookies
        .map((cookie) => cookie.split('=')[0] ?? '')
        .filter((name) => !name.endsWith('.sig'))
      expect([...new Set(names)].sort()).toEqual([
        // The cookie binds the password of a registration to its browser (__Host-: no cookie of a sibling domain).
        '__Host-sallyport_asking',
        '__Host-sallyport_browser',
        '__Host-sallyport_notice',
        '__Host-sallyport_remember',
        '__Host-sallyport_session',
        '__Secure-sallyport_interaction',
        '__Secure-sallyport_restart',
        '__Secure-sallyport_resume',
        '__Secure-sallyport_sign_in',
      ])
      for (const cookie of cookies) {
        expect(cookie).toMatch(/; secure(;|$)/i)
        expect(cookie).toMatch(/; httponly(;|$)/i)
        expect(cookie).toMatch(/; samesite=lax(;|$)/i)
        expect(cookie).toMatch(/; expires=/i)
        expect(cookie).not.toMatch(/; domain=/i)
      }
    } finally {
      await secure.remove()
    }
  })
})

describe('a session ends', () => {
  test('after 30 idle minutes, whatever the cookie’s expiry (ASVS 7.3.1)', async () => {
    const user = await signIn()
    const cookies = await cookiesOf(user)
    expect(await later(31 * MINUTE_SECONDS, () => askWith(cookies))).toBe('login_required')
    await later(31 * MINUTE_SECONDS, async () => {
      expect((await user.open((await app.request()).url)).$('input[name=password]')).toHaveLength(1)
    })
  })

  test('24 hours after sign-in, however active it was (ASVS 7.3.2)', async () => {
    const user = await signIn()
    for (let minutes = 25; minutes < 24 * 60 - 5; minutes += 25)
      await later(minutes * MINUTE_SECONDS, async () => {
        expect((await app.authorizeSilently(user)).has('code'), `after ${minutes} minutes`).toBe(true)
      })
    await later(24 * HOUR_SECONDS - 5 * MINUTE_SECONDS, async () =>
      expect((await app.authorizeSilently(user)).has('code')).toBe(true),
    )
    const cookies = await cookiesOf(user)
    expect(await later(24 * HOUR_SECONDS + MINUTE_SECONDS, () => askWith(cookies))).toBe('login_required')
  })

  test('after the configured times (ASVS 7.3.1, 7.3.2)', async () => {
    const strict = await startTestServer({ SESSION_IDLE_SECONDS: '60', SESSION_ABSOLUTE_SECONDS: '120' })
    try {
      await strict.admin.users.create({ username: 'ada', password: PASSWORD })
      const strictApp = await createTestClient(strict, { first_party: true })
      const ask = (user: EndUser) => async () => (await strictApp.authorizeSilently(user)).get('error')
      const { user: idle } = await strictApp.getCode()
      expect(await later(60 + 16, ask(idle))).toBe('login_required')
      const { user: busy } = await strictApp.getCode()
      expect(await later(50, ask(busy))).toBeNull()
      expect(await later(100, ask(busy))).toBeNull()
      expect(await later(120 + 16, ask(busy))).toBe('login_required')
    } finally {
      await strict.remove()
    }
  })
})
