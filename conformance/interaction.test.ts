import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { later } from './support/clock.ts'
import { cloneBrowser, createTestClient, expectErrorPage, type TestClient } from './support/code-flow.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { send, sql } from './support/http.ts'

const CREDENTIALS = { username: 'ada', password: PASSWORD }

let server: TestServer
let app: TestClient
/** A first-party app, which needs no consent. */
let trusted: TestClient

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create(CREDENTIALS)
  app = await createTestClient(server)
  trusted = await createTestClient(server, { client_name: 'House App', first_party: true })
})
afterAll(() => server?.remove())

const newUser = () => new EndUser(server.issuer)
/** A client without consent. */
const newApp = () => createTestClient(server)

async function openLogin(user: EndUser, from: TestClient = app): Promise<Page> {
  const page = await user.open((await from.request()).url)
  expect(page.$('input[name=password]')).toHaveLength(1)
  return page
}

async function openConsent(user: EndUser): Promise<Page> {
  const page = await user.submit(await openLogin(user, await newApp()), CREDENTIALS)
  expect(page.$('button[name=action][value=approve]')).toHaveLength(1)
  return page
}

/** The page says that it is no longer valid, and redirects nowhere. */
function expectFinishedPage(page: Page): void {
  expect(page.leftTo).toBeUndefined()
  expectErrorPage({ status: page.status, headers: page.headers, text: page.html })
  expect(page.html).toMatch(/expired|finished already/i)
}

/** Approves the consent page, if there is one. */
async function agree(user: EndUser, page: Page): Promise<Page> {
  const isAsked = page.$('button[name=action][value=approve]').length > 0
  return isAsked ? await user.submit(page, {}, 'approve') : page
}

function expectBackAtApp({ leftTo, html }: Page): void {
  expect(leftTo?.searchParams.get('code'), html.slice(0, 2000)).toBeTruthy()
  expect(leftTo?.searchParams.get('state')).toBeTruthy()
}

describe('an interaction page', () => {
  test('redirects by 303, so that the browser does not post credentials again (RFC 9700 §4.12)', async () => {
    const user = newUser()
    const page = await openLogin(user)
    const answer = await send(page.url, {
      method: 'POST',
      body: new URLSearchParams({ ...CREDENTIALS, csrf: String(page.$('input[name=csrf]').val()) }),
      headers: { cookie: await user.jar.getCookieString(page.url), origin: server.issuer },
    })
    expect(answer.status).toBe(303)
    expect(answer.headers.get('cache-control')).toBe('no-store')
  })

  test.for<[page: string, open: (user: EndUser) => Promise<Page>, fields: Record<string, string>]>([
    ['sign-in', (user) => openLogin(user), CREDENTIALS],
    ['consent', openConsent, {}],
  ])('(%s) is neither shown nor accepted in another browser (RFC 9700 §4.7)', async ([, open, fields]) => {
    const user = newUser()
    const page = await open(user)
    const stranger = newUser()
    expectFinishedPage(await stranger.open(page.url))
    expectFinishedPage(await stranger.submit(page, fields))
    // A browser with another interaction is rejected too.
    const other = newUser()
    await openLogin(other)
    expectFinishedPage(await other.open(page.url))
    expectFinishedPage(await other.submit(page, fields))
    expect((await app.authorizeSilently(stranger)).get('error')).toBe('login_required')
    // The right browser continues.
    const rest = await user.submit(page, fields, fields === CREDENTIALS ? undefined : 'approve')
    expect(rest.status).toBeLessThan(400)
  })

  test('rejects the cookie of another interaction (RFC 9700 §4.7)', async () => {
    const [victim, attacker] = [newUser(), newUser()]
    const [target, own] = [await openLogin(victim), await openLogin(attacker)]
    const headers = {
      cookie: await attacker.jar.getCookieString(own.url),
      origin: server.issuer,
      accept: 'text/html',
    }
    expectErrorPage(await send(target.url, { headers }))
    for (const { $ } of [target, own]) {
      const body = new URLSearchParams({ ...CREDENTIALS, csrf: String($('input[name=csrf]').val()) })
      expectErrorPage(await send(target.url, { method: 'POST', body, headers }))
    }
    expect((await send(own.url, { headers })).status).toBe(200)
  })

  test('submitted again after the back button redirects to the app', async () => {
    const user = newUser()
    const login = await openLogin(user, await newApp())
    const consent = await user.submit(login, CREDENTIALS)
    // The request restarts: the person is signed in and sees the consent page.
    const again = await user.submit(login, CREDENTIALS)
    expect(again.$('button[name=action][value=approve]')).toHaveLength(1)
    const { leftTo } = await user.submit(consent, {}, 'approve')
    expect(leftTo?.searchParams.get('code')).toBeTruthy()
    expectBackAtApp(await user.submit(consent, {}, 'approve'))
    expectBackAtApp(await user.open(login.url))
  })

  test('of consent submitted five times at once is accepted once; the others restart and end at the app, too', async () => {
    const user = newUser()
    const consent = await openConsent(user)
    const pages = await Promise.all(Array.from({ length: 5 }, () => user.submit(consent, {}, 'approve')))
    expect(pages.some(({ leftTo }) => leftTo?.searchParams.has('code'))).toBe(true)
    // A tab with a replaced session cookie shows the login page; none shows an error.
    for (const page of pages.filter(({ leftTo }) => !leftTo))
      expectBackAtApp(await agree(user, await user.submit(page, CREDENTIALS)))
  })

  test('of a client that was deleted meanwhile is rejected without a retry', async () => {
    const user = newUser()
    const gone = await newApp()
    const consent = await user.submit(await openLogin(user, gone), CREDENTIALS)
    await server.admin.clients.delete({ client_id: gone.client.client_id })
    const { status, headers, html } = await user.submit(consent, {}, 'approve')
    expectErrorPage({ status, headers, text: html })
    expect(headers.get('retry-after')).toBeNull()
  })

  test('that expired after 15 minutes restarts the request (OIDC Core §3.1.2.3)', async () => {
    const user = newUser()
    const cookies = cloneBrowser(user)
    const login = await openLogin(user)
    for (const cookie of user.jar.getCookiesSync(login.url))
      cookies.jar.setCookieSync(`${cookie.key}=${cookie.value}; path=${cookie.path}`, login.url)
    await later(16 * 60, async () => {
      // Without a sign-in, the browser has no device cookie.
      for (const page of [await cookies.open(login.url), await cookies.submit(login, CREDENTIALS)])
        expect(page.$('input[name=password]')).toHaveLength(1)
      const page = await cookies.submit(login, CREDENTIALS)
      expect(page.$('input[name=password]')).toHaveLength(1)
      expectBackAtApp(await agree(cookies, await cookies.submit(page, CREDENTIALS)))
    })
  })

  test.skipIf(isPglite)(
    'that was deleted by the cleanup restarts the request (SQL needs Postgres) (OIDC Core §3.1.2.3)',
    async () => {
      const user = newUser()
      const login = await openLogin(user)
      await sql(server, 'delete from oidc_artifact')
      const page = await user.open(login.url)
      expect(page.url).not.toBe(login.url)
      expectBackAtApp(await agree(user, await user.submit(page, CREDENTIALS)))
    },
  )
})

describe('two tabs of one browser', () => {
  test('that sign in for two apps each keep their own parameters (OIDC Core §3.1.2.5)', async () => {
    const [one, other] = [await newApp(), await newApp()]
    const user = newUser()
    const [first, second] = [await one.request(), await other.request()]
    const logins = [await user.open(first.url), await user.open(second.url)] as const
    const consents = [
      await user.submit(logins[0], CREDENTIALS),
      await user.submit(logins[1], CREDENTIALS),
    ] as const
    const answers = [
      await user.submit(consents[1], {}, 'approve'),
      await user.submit(consents[0], {}, 'approve'),
    ] as const
    expect((await second.redeem(answers[0].leftTo)).claims()?.aud).toBe(other.client.client_id)
    expect((await first.redeem(answers[1].leftTo)).claims()?.aud).toBe(one.client.client_id)
    for (const known of [one, other]) expect((await known.authorizeSilently(user)).get('code')).toBeTruthy()
  })

  test('that open ten apps at once keep all of them in the session (OIDC Core §3.1.2.3)', async () => {
    const user = newUser()
    await trusted.getCode({}, user)
    const apps = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        createTestClient(server, { client_name: `App ${index}`, first_party: true }),
      ),
    )
    const requests = await Promise.all(apps.map(({ request }) => request()))
    const pages = await Promise.all(requests.map(({ url }) => cloneBrowser(user).open(url)))
    const tokens = await Promise.all(requests.map(({ redeem }, index) => redeem(pages[index]?.leftTo)))
    const refreshed = await Promise.all(
      apps.map(({ refresh }, index) => refresh(tokens[index]?.refresh_token ?? '')),
    )
    expect(refreshed.map(({ status }) => status)).toEqual(apps.map(() => 200))
  })
})

describe('a signed-in person', () => {
  const authTime = (page: Page, request: Awaited<ReturnType<TestClient['request']>>) =>
    request.redeem(page.leftTo).then((tokens) => tokens.claims()?.auth_time ?? 0)

  test('gets a code without a page (OIDC Core §3.1.2.3)', async () => {
    const { user } = await app.getCode()
    expect((await app.authorizeSilently(user)).get('code')).toBeTruthy()
    expect((await user.open((await app.request()).url)).leftTo?.searchParams.get('code')).toBeTruthy()
  })

  test('gets no page with prompt=none: login_required, then consent_required (OIDC Core §3.1.2.6)', async () => {
    const [user, unknown] = [newUser(), await newApp()]
    expect((await unknown.authorizeSilently(user)).get('error')).toBe('login_required')
    await trusted.getCode({}, user)
    expect((await unknown.authorizeSilently(user)).get('error')).toBe('consent_required')
    await unknown.getCode({}, user)
    expect((await unknown.authorizeSilently(user)).get('code')).toBeTruthy()
    expect((await unknown.authorizeSilently(user, { scope: 'openid email' })).get('error')).toBe(
      'consent_required',
    )
  })

  test.for<[what: string, parameters: Record<string, string>]>([
    ['prompt=login', { prompt: 'login', max_age: '3600' }],
    ['max_age=0', { max_age: '0' }],
    ['max_age=1 after two seconds', { max_age: '1' }],
  ])('signs in again with %s, and gets a newer auth_time (OIDC Core §3.1.2.1)', async ([, parameters]) => {
    const first = await app.request({ max_age: '3600' })
    const user = newUser()
    const before = await authTime(await user.signInAndAgree(first.url), first)
    expect(before).toBeGreaterThan(0)
    await pause(2_100)
    const second = await app.request(parameters)
    const login = await user.open(second.url)
    expect(login.$('input[name=password]')).toHaveLength(1)
    expect(await authTime(await user.submit(login, CREDENTIALS), second)).toBeGreaterThan(before)
  })

  test('does not pass prompt=login with a wrong password, nor by repeating the request (OIDC Core §3.1.2.1)', async () => {
    const { user } = await app.getCode()
    const { url } = await app.request({ prompt: 'login' })
    const refused = await user.submit(await user.open(url), { ...CREDENTIALS, password: 'wrong wrong wrong' })
    expect(refused.status).toBe(400)
    expect(refused.leftTo).toBeUndefined()
    expect((await user.open(url)).$('input[name=password]')).toHaveLength(1)
  })

  test('gets no page within max_age, and keeps auth_time (OIDC Core §3.1.2.1)', async () => {
    const first = await app.request({ max_age: '3600' })
    const user = newUser()
    const before = await authTime(await user.signInAndAgree(first.url), first)
    await pause(1_100)
    const second = await app.request({ max_age: '3600', prompt: 'none' })
    expect(await authTime(await user.open(second.url), second)).toBe(before)
  })
})
