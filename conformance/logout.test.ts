import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Approval,
  cloneBrowser,
  createTestClient,
  expectTokenError,
  type TestClient,
  type Tokens,
  userinfoStatus,
} from './support/code-flow.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { send } from './support/http.ts'

const SIGNED_OUT = 'https://app.example.test/signed-out'
const SIGNED_OUT_OTHER = 'https://other.example.test/signed-out'

let server: TestServer
let app: TestClient
let other: TestClient
let ada: EndUser
let tokens: Approval & Tokens

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  app = await createTestClient(server, { first_party: true, post_logout_redirect_uris: [SIGNED_OUT] })
  other = await createTestClient(server, {
    client_name: 'Other App',
    first_party: true,
    post_logout_redirect_uris: [SIGNED_OUT_OTHER],
  })
})
afterAll(() => server?.remove())
beforeEach(async () => {
  ada = new EndUser(server.issuer)
  tokens = await app.getTokens({}, ada)
})

/** The URL of a logout request (RP-Initiated Logout §2). */
function logoutUrl(parameters: Record<string, string> = {}): URL {
  const url = new URL(app.config.serverMetadata().end_session_endpoint ?? '')
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  return url
}

const openLogout = (parameters: Record<string, string> = {}, user = ada) => user.open(logoutUrl(parameters))

const isSignedIn = async (user = ada, known = app) => (await known.authorizeSilently(user)).has('code')

function expectQuestion(page: Page): void {
  expect(page.status, page.html).toBe(200)
  expect(page.$('button[name=action][value=approve]')).toHaveLength(1)
  expect(page.headers.get('cache-control')).toBe('no-store')
}

describe('signing out', () => {
  test('asks, revokes the session and its tokens, and redirects to the app (RP-Initiated Logout §2, §3)', async () => {
    const elsewhere = await other.getTokens({}, ada)
    const page = await openLogout({
      id_token_hint: tokens.idToken,
      post_logout_redirect_uri: SIGNED_OUT,
      state: 'the state & more',
    })
    expectQuestion(page)
    expect(page.$('h1').text()).toMatch(/sign out/i)
    expect(page.html).toMatch(/Harbour Dashboard/)
    expect(await isSignedIn()).toBe(true)

    const { leftTo, headers } = await ada.submit(page, {}, 'approve')
    expect(leftTo && leftTo.origin + leftTo.pathname).toBe(SIGNED_OUT)
    expect(leftTo?.searchParams.get('state')).toBe('the state & more')
    expect([...(leftTo?.searchParams.keys() ?? [])]).toEqual(['state'])
    expect(headers.get('cache-control')).toBe('no-store')

    for (const known of [app, other])
      expect((await known.authorizeSilently(ada)).get('error')).toBe('login_required')
    for (const [owner, { accessToken, refreshToken }] of [
      [app, tokens],
      [other, elsewhere],
    ] as const) {
      expect(await userinfoStatus(server, accessToken)).toBe(401)
      expectTokenError(await owner.refresh(refreshToken))
    }
  })

  test('without a post_logout_redirect_uri shows a page (RP-Initiated Logout §3)', async () => {
    const done = await ada.submit(await openLogout({ id_token_hint: tokens.idToken }), {}, 'approve')
    expect(done.leftTo).toBeUndefined()
    expect(done.status).toBe(200)
    expect(done.html).toMatch(/signed out/i)
    expect(await isSignedIn()).toBe(false)
  })

  test('keeps other sessions of the person (RP-Initiated Logout §2)', async () => {
    const laptop = new EndUser(server.issuer)
    const { refreshToken } = await app.getTokens({}, laptop)
    await ada.submit(await openLogout(), {}, 'approve')
    expect(await isSignedIn(laptop)).toBe(true)
    expect((await app.refresh(refreshToken)).status).toBe(200)
  })

  test('can be declined: the session stays (RP-Initiated Logout §2)', async () => {
    const { refreshToken, accessToken } = await other.getTokens({}, ada)
    const page = await openLogout({ id_token_hint: tokens.idToken, post_logout_redirect_uri: SIGNED_OUT })
    const answer = await ada.submit(page, {}, 'deny')
    expect(answer.leftTo?.href).toBe(SIGNED_OUT)
    expect(await isSignedIn(ada, other)).toBe(true)
    expect(await userinfoStatus(server, accessToken)).toBe(200)
    expect((await other.refresh(refreshToken)).status).toBe(200)
  })

  test('can be declined without a client: the session stays (RP-Initiated Logout §2)', async () => {
    const answer = await ada.submit(await openLogout(), {}, 'deny')
    expect(answer.$('h1').text()).toBe('You are still signed in')
    expect(await isSignedIn()).toBe(true)
    expect(await userinfoStatus(server, tokens.accessToken)).toBe(200)
    expect((await app.refresh(tokens.refreshToken)).status).toBe(200)
  })

  test.for([{}, { 'sec-fetch-site': 'cross-site' }])(
    'asks also after a navigation from another site, with %j (ASVS 10.6.2)',
    async (headers) => {
      ada.headers = headers
      const page = await openLogout()
      expectQuestion(page)
      ada.headers = {}
      expect(await isSignedIn()).toBe(true)
      expect(await userinfoStatus(server, tokens.accessToken)).toBe(200)
    },
  )

  test('rejects a confirmation from another site, or without the CSRF token (ASVS 3.5.1)', async () => {
    const page = await openLogout()
    const xsrf = String(page.$('input[name=xsrf]').val())
    const url = `${server.issuer}/logout/confirm`
    const cookie = await ada.jar.getCookieString(url)
    const confirm = (body: Record<string, string>, headers: Record<string, string>) =>
      send(url, { method: 'POST', body: new URLSearchParams(body), headers: { cookie, ...headers } })
    const own = { origin: server.issuer }
    for (const [body, headers] of [
      [{ action: 'approve' }, own],
      [{ action: 'approve', xsrf: '' }, own],
      [{ action: 'approve', xsrf: 'x'.repeat(xsrf.length) }, own],
      [{ logout: 'yes' }, own],
      [{ action: 'approve', xsrf }, { origin: 'https://evil.test' }],
      [{ action: 'approve', xsrf }, { 'sec-fetch-site': 'cross-site' }],
      [{ action: 'approve', xsrf }, { origin: 'null' }],
    ] as const) {
      const { status } = await confirm(body, headers)
      expect([400, 403], JSON.stringify([body, headers])).toContain(status)
      expect(await isSignedIn()).toBe(true)
    }
  })

  test('without a session redirects to the app, too (RP-Initiated Logout §3)', async () => {
    const stranger = new EndUser(server.issuer)
    const page = await openLogout(
      { id_token_hint: tokens.idToken, post_logout_redirect_uri: SIGNED_OUT },
      stranger,
    )
    const { leftTo } = page.leftTo ? page : await stranger.submit(page)
    expect(leftTo?.href).toBe(SIGNED_OUT)
    expect(await isSignedIn()).toBe(true)
  })
})

describe('the session cookie after sign-out', () => {
  test('is rejected when it is sent again (ASVS 7.4.1)', async () => {
    const thief = cloneBrowser(ada)
    expect(await isSignedIn(thief)).toBe(true)
    const kept = cloneBrowser(thief)
    await ada.submit(await openLogout(), {}, 'approve')
    expect((await app.authorizeSilently(kept)).get('error')).toBe('login_required')
    expect((await kept.open((await app.request()).url)).$('input[name=password]')).toHaveLength(1)
    expect((await app.authorizeSilently(thief)).get('error')).toBe('login_required')
  })

  test.skipIf(isPglite)('is rejected at every instance (needs Postgres)', async () => {
    const { url } = await server.startAnother()
    const kept = cloneBrowser(ada, url)
    expect(await isSignedIn(cloneBrowser(kept))).toBe(true)
    await ada.submit(await openLogout(), {}, 'approve')
    expect((await app.authorizeSilently(kept)).get('error')).toBe('login_required')
    expectTokenError(await app.refresh(tokens.refreshToken, {}, { at: url }))
  })

  test('stays rejected when concurrent requests save the session (ASVS 7.4.1)', async () => {
    for (let round = 0; round < 5; round++) {
      const browser = new EndUser(server.issuer)
      await app.getTokens({}, browser)
      const kept = cloneBrowser(browser)
      const page = await openLogout({}, browser)
      const racing = Array.from({ length: 6 }, async () => {
        const clone = cloneBrowser(browser)
        await clone.open((await app.request()).url)
        return clone
      })
      await browser.submit(page, {}, 'approve')
      for (const clone of [kept, browser, ...(await Promise.all(racing))])
        expect((await app.authorizeSilently(clone)).get('error')).toBe('login_required')
    }
  })
})

describe('tokens with offline_access', () => {
  const offline = { scope: 'openid offline_access', prompt: 'consent' }

  test('are revoked when the person signs out', async () => {
    const { refreshToken, accessToken } = await app.getTokens(offline, ada)
    await ada.submit(await openLogout(), {}, 'approve')
    expect(await userinfoStatus(server, accessToken)).toBe(401)
    await expectTokenError(await app.refresh(refreshToken), 'invalid_grant')
  })

  test('are kept for a client with keep_offline_access', async () => {
    const keeper = await createTestClient(server, { first_party: true, keep_offline_access: true })
    const { refreshToken } = await keeper.getTokens(offline, ada)
    await ada.submit(await openLogout(), {}, 'approve')
    expect((await keeper.refresh(refreshToken)).status).toBe(200)
  })
})

test('a POST of the app to the logout endpoint shows the question, too (RP-Initiated Logout §2)', async () => {
  const page = await ada.post(logoutUrl(), new URLSearchParams({ id_token_hint: tokens.idToken }))
  expect(page.status).toBe(200)
  expect(page.$('h1').text()).toBe('Sign out?')
})
