import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { later } from './support/clock.ts'
import { cloneBrowser, createTestClient, expectErrorPage, type TestClient } from './support/code-flow.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post, sql } from './support/http.ts'
import { CALLBACK } from './support/relying-party.ts'

const CREDENTIALS = { username: 'ada', password: PASSWORD }
const DAY_SECONDS = 86_400

let server: TestServer
let app: TestClient

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create(CREDENTIALS)
  app = await createTestClient(server, { first_party: true, client_uri: 'https://harbour.example/' })
})
afterAll(() => server?.remove())

const newUser = () => new EndUser(server.issuer)
const isLogin = (page: Page) => page.$('input[name=password]').length === 1

async function openLogin(parameters: Record<string, string> = {}, user = newUser()) {
  const request = await app.request(parameters)
  const page = await user.open(request.url)
  expect(isLogin(page)).toBe(true)
  return { user, page, request }
}

describe('an expired login page restarts the request', () => {
  test('with unchanged state, nonce, PKCE and scope', async () => {
    const state = 'the state & more'
    const { user, page, request } = await openLogin({ state, scope: 'openid profile', ui_locales: 'de' })
    await later(DAY_SECONDS - 3600, async () => {
      const again = await user.submit(page, CREDENTIALS)
      expect(isLogin(again)).toBe(true)
      const { leftTo } = await user.submit(again, CREDENTIALS)
      expect(leftTo?.searchParams.get('state')).toBe(state)
      const tokens = await request.redeem(leftTo)
      expect(tokens.scope).toBe('openid profile')
    })
  })

  test('after its completion, from the page and from its resume URL', async () => {
    const { user, page } = await openLogin()
    const back = await user.submit(page, CREDENTIALS)
    expect(back.leftTo?.searchParams.has('code')).toBe(true)
    for (const url of [page.url, page.url.replace('/interaction/', '/authorize/')]) {
      const again = await user.open(url)
      expect(again.leftTo?.searchParams.has('code'), url).toBe(true)
      expect(again.leftTo?.searchParams.get('state')).toBe(back.leftTo?.searchParams.get('state'))
    }
  })

  test('with prompt=login, which applies again, and with prompt=consent', async () => {
    for (const prompt of ['login', 'consent']) {
      const { user, page } = await openLogin({ prompt })
      await user.submit(page, CREDENTIALS)
      const again = await user.open(page.url)
      expect(again.leftTo).toBeUndefined()
      expect(again.$('form')).toHaveLength(1)
    }
  })

  test('after a pushed request, whose request_uri is spent (RFC 9126 §4)', async () => {
    const user = newUser()
    const { url } = await app.request({ state: 'pushed' })
    const pushed = await post(`${server.url}/par`, [...url.searchParams], { as: app.client })
    const query = new URLSearchParams({
      client_id: app.client.client_id,
      request_uri: String(pushed.body.request_uri),
    })
    const page = await user.open(`/authorize?${query}`)
    await user.submit(page, CREDENTIALS)
    const again = await user.open(page.url)
    expect(again.leftTo?.searchParams.get('state')).toBe('pushed')
    expect(again.leftTo?.searchParams.has('code')).toBe(true)
  })

  test('of a device at the page for its code', async () => {
    const tv = await server.admin.clients.create({ type: 'device', client_name: 'Bridge TV' })
    const { body } = await post(`${server.url}/device/authorize`, { scope: 'openid' }, { as: tv })
    const user = newUser()
    let page = await user.submit(await user.open(`/device?user_code=${String(body.user_code)}`))
    page = await user.submit(page, {}, 'approve')
    expect(isLogin(page)).toBe(true)
    await later(3600, async () => {
      const again = await user.submit(page, CREDENTIALS)
      expect(again.url).toBe(`${server.issuer}/device`)
      expect(again.$('input[name=user_code]')).toHaveLength(1)
    })
  })

  test.skipIf(isPglite)('at another instance, after the row was deleted (needs Postgres)', async () => {
    const other = await server.startAnother()
    const { user, page } = await openLogin()
    await sql(server, 'delete from oidc_artifact')
    const moved = cloneBrowser(user, other.url)
    const again = await moved.submit(page, CREDENTIALS)
    expect(isLogin(again)).toBe(true)
    expect((await moved.submit(again, CREDENTIALS)).leftTo?.searchParams.has('code')).toBe(true)
  })

  test('of two apps in two tabs, each with its own parameters', async () => {
    const other = await createTestClient(server, { first_party: true, client_name: 'Other App' })
    const { user, page, request } = await openLogin()
    const otherRequest = await other.request()
    const otherPage = await user.open(otherRequest.url)
    await later(3600, async () => {
      const first = await user.submit(await user.submit(page, CREDENTIALS), CREDENTIALS)
      expect((await request.redeem(first.leftTo)).access_token).toBeTruthy()
      const second = await user.submit(otherPage, CREDENTIALS)
      expect((await otherRequest.redeem(second.leftTo)).access_token).toBeTruthy()
    })
  })
})

describe('an expired page without a restart cookie', () => {
  test('says so, and links to the app if it is known', async () => {
    const { page } = await openLogin()
    const stranger = await newUser().open(page.url)
    expectErrorPage({ status: stranger.status, headers: stranger.headers, text: stranger.html })
    expect(stranger.$('a.button').attr('href')).toBe('https://harbour.example/')
    expect(stranger.$('a.button').text()).toContain('Harbour Dashboard')
    const unknown = await newUser().open('/interaction/nothing')
    expect(unknown.status).toBe(400)
    expect(unknown.$('a.button')).toHaveLength(0)
  })

  test('is shown also when the request is too long for a cookie', async () => {
    const user = newUser()
    const { url } = await app.request({ state: 's'.repeat(6000) })
    const page = await user.open(url)
    expect(isLogin(page)).toBe(true)
    expect((await user.submit(page, CREDENTIALS)).leftTo?.searchParams.has('code')).toBe(true)
    expect((await user.open(page.url)).status).toBe(400)
  })

  test('ignores a restart cookie of another page, altered or forged', async () => {
    const { user, page } = await openLogin()
    const { page: otherPage } = await openLogin({}, user)
    const name = 'sallyport_restart'
    const valueAt = (url: string) => user.jar.getCookiesSync(url).find(({ key }) => key === name)?.value ?? ''
    expect(valueAt(page.url)).not.toBe('')
    const own = valueAt(page.url)
    for (const value of [valueAt(otherPage.url), `${own.slice(0, -2)}AA`, 'x', '', CALLBACK]) {
      const forger = newUser()
      forger.headers.cookie = `${name}=${value}`
      expect((await forger.open(page.url)).status, value.slice(0, 20)).toBe(400)
    }
    expect(own).not.toContain(app.client.client_id)
    expect(Buffer.from(own, 'base64url').toString('latin1')).not.toContain(app.client.client_id)
  })
})

describe('sign-out in several tabs', () => {
  const SIGNED_OUT = 'https://app.example.test/signed-out'

  test('returns each to its own app, whichever was opened last (RP-Initiated Logout §2)', async () => {
    const apps = await Promise.all(
      ['a', 'b'].map((path) =>
        createTestClient(server, { first_party: true, post_logout_redirect_uris: [`${SIGNED_OUT}/${path}`] }),
      ),
    )
    const user = newUser()
    const pages: Page[] = []
    for (const [index, each] of apps.entries()) {
      const { idToken } = await each.getTokens({}, user)
      const query = new URLSearchParams({
        id_token_hint: idToken,
        post_logout_redirect_uri: `${SIGNED_OUT}/${index === 0 ? 'a' : 'b'}`,
        state: `state ${index}`,
      })
      pages.push(await user.open(`/logout?${query}`))
    }
    const [first, second] = pages as [Page, Page]
    // The page that was opened first is outdated: it asks again.
    const again = await user.submit(first, {}, 'approve')
    expect(again.$('button[name=action][value=approve]')).toHaveLength(1)
    const left = await user.submit(again, {}, 'approve')
    expect(left.leftTo?.href).toBe(`${SIGNED_OUT}/a?state=state+0`)
    expect((await app.authorizeSilently(user)).get('error')).toBe('login_required')
    // The session of the other tab ended: a self-submitting form, or its button, redirects it.
    const rest = await user.submit(second, {}, 'approve')
    const end = rest.leftTo ? rest : await user.submit(rest)
    expect(end.leftTo?.href).toBe(`${SIGNED_OUT}/b?state=state+1`)
  })
})
