import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  createTestClient,
  expectRefreshed,
  expectTokenError,
  type TestClient,
  tokensOf,
  userinfoStatus,
} from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { FaultProxy } from './support/fault-proxy.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post, rows, sql } from './support/http.ts'
import { CALLBACK } from './support/relying-party.ts'

let server: TestServer
let app: TestClient

beforeAll(async () => {
  server = await startTestServer()
  for (const username of ['ada', 'grace']) await server.admin.users.create({ username, password: PASSWORD })
})
afterAll(() => server?.remove())
beforeEach(async () => {
  app = await createTestClient(server)
})

const newBrowser = () => new EndUser(server.issuer)

/** Signs in. @returns the next page or redirect. */
async function signIn(user: EndUser, parameters: Record<string, string> = {}, username = 'ada') {
  const page = await user.open((await app.request(parameters)).url)
  return page.$('input[name=password]').length > 0
    ? await user.submit(page, { username, password: PASSWORD })
    : page
}

const boxesOf = (page: Awaited<ReturnType<typeof signIn>>) =>
  page
    .$('input[name=scope]')
    .map((_, box) => page.$(box).val())
    .toArray()

describe('an app that others can impersonate', () => {
  test.for([{ first_party: false }, { first_party: true }])(
    'on a phone or desktop, %j, needs consent each time, and prompt=none is rejected (RFC 8252 §8.6)',
    async ({ first_party }) => {
      app = await createTestClient(server, {
        type: 'native',
        first_party,
        redirect_uris: ['com.example.app:/callback'],
      })
      const user = newBrowser()
      const first = await user.submit(await signIn(user), {}, 'approve')
      expect(first.leftTo?.protocol).toBe('com.example.app:')
      expect(first.leftTo?.searchParams.get('code')).toBeTruthy()
      expect((await app.authorizeSilently(user)).get('error')).toMatch(/^(interaction|consent)_required$/)
      expect((await signIn(user)).$('button[value=approve]')).toHaveLength(1)
    },
  )

  test('gets no consent page with an unknown client or redirect URI (RFC 9700 §4.11.2)', async () => {
    const { url } = await app.request({ prompt: 'none' })
    for (const [name, value] of [
      ['client_id', 'nobody'],
      ['redirect_uri', 'https://evil.example.test/'],
    ] as const) {
      const changed = new URL(url)
      changed.searchParams.set(name, value)
      const page = await newBrowser().open(changed)
      expect(page.status).toBe(400)
    }
  })

  test('is shown as text with http(s) links only (CVE-2021-26715)', async () => {
    for (const name of ['client_uri', 'policy_uri', 'tos_uri', 'logo_uri'])
      for (const uri of ['javascript:alert(1)', 'data:text/html,x', 'file:///etc/passwd', '//evil.test'])
        await expect(createTestClient(server, { [name]: uri }), `${name}: ${uri}`).rejects.toThrow()
    const client_name = '<img src=x onerror=alert(1)>"\'</title><script>alert(1)</script>'
    const links = {
      client_uri: 'https://app.example.test/"onclick="x',
      tos_uri: 'https://app.example.test/tos',
    }
    app = await createTestClient(server, { client_name, ...links })
    const consent = await signIn(newBrowser())
    expect(consent.$('bdi').text()).toContain(client_name)
    expect(consent.$('img, [onerror], [onclick], script:not([nonce])')).toHaveLength(0)
    // No image either: loading it would reveal the visit to the app.
    expect(consent.html).not.toMatch(/<img|url\(https?:/)
  })
})

describe('a consent', () => {
  test('applies in another browser (OIDC Core §3.1.2.4)', async () => {
    await app.getCode({ scope: 'openid profile' })
    const page = await signIn(newBrowser(), { scope: 'openid profile' })
    expect(page.leftTo?.searchParams.get('code')).toBeTruthy()
  })

  test('is requested again with prompt=consent, and from another person', async () => {
    await app.getCode()
    const user = newBrowser()
    expect((await signIn(user, { prompt: 'consent' })).$('button[value=approve]')).toHaveLength(1)
    expect((await signIn(newBrowser(), {}, 'grace')).$('button[value=approve]')).toHaveLength(1)
  })

  test('that loses a scope revokes the app’s tokens in every browser (OWASP ASVS 10.7.3)', async () => {
    const parameters = { scope: 'openid profile offline_access', prompt: 'consent' }
    const here = newBrowser()
    const before = await app.getTokens(parameters, here)
    const elsewhere = await app.getTokens(parameters, newBrowser())
    const page = await signIn(here, parameters)
    expect(boxesOf(page)).toEqual(['profile', 'offline_access'])
    const { leftTo } = await here.submit(page, { scope: ['profile'] }, 'approve')
    expect(leftTo?.searchParams.has('code')).toBe(true)
    for (const { refreshToken, accessToken } of [before, elsewhere]) {
      expectTokenError(await app.refresh(refreshToken))
      expect(await userinfoStatus(server, accessToken)).toBe(401)
    }
    // The refused scope is neither requested nor granted again.
    const { scope } = await app.getTokens({ scope: 'openid profile offline_access' }, here)
    expect(scope).toBe('openid profile')
  })

  test('that gains a scope revokes nothing', async () => {
    const here = newBrowser()
    const before = await app.getTokens({ scope: 'openid profile' }, here)
    await app.getTokens({ scope: 'openid profile email' }, here)
    expect((await app.refresh(before.refreshToken)).status).toBe(200)
  })

  test('leaves only new scopes on the page (OIDC Core §3.1.2.4)', async () => {
    await app.getCode({ scope: 'openid profile' })
    const user = newBrowser()
    const page = await signIn(user, { scope: 'openid profile email' })
    expect(boxesOf(page)).toEqual(['email'])
    await user.submit(page, {}, 'approve')
    expect((await signIn(newBrowser(), { scope: 'openid profile email' })).leftTo).toBeDefined()
  })

  test('applies with its refused scopes until the next answer', async () => {
    const user = newBrowser()
    const page = await signIn(user, { scope: 'openid profile email' })
    await user.submit(page, { scope: ['openid', 'profile'] }, 'approve')
    const other = newBrowser()
    const { scope } = await app.getTokens({ scope: 'openid profile email' }, other)
    expect(scope.split(' ').toSorted()).toEqual(['openid', 'profile'])
    const anew = await other.open(
      (await app.request({ scope: 'openid profile email', prompt: 'consent' })).url,
    )
    await other.submit(anew, { scope: ['openid', 'profile', 'email'] }, 'approve')
    const later = await app.getTokens({ scope: 'openid profile email' })
    expect(later.scope.split(' ').toSorted()).toEqual(['email', 'openid', 'profile'])
  })

  test('ends with the person and with the client', async () => {
    await server.admin.users.create({ username: 'brief', password: PASSWORD })
    await app.getCode({}, newBrowser(), 'brief')
    await server.admin.users.delete({ username: 'brief' })
    await server.admin.users.create({ username: 'brief', password: PASSWORD })
    expect((await signIn(newBrowser(), {}, 'brief')).$('button[value=approve]')).toHaveLength(1)
    await server.admin.clients.delete({ client_id: app.client.client_id })
    if (!isPglite)
      expect(
        await rows(server, 'select 1 from consent where client_id = $1', [app.client.client_id]),
      ).toHaveLength(0)
  })
})

describe('a grant of one browser', () => {
  test('keeps the other browser signed in when its token is revoked (RFC 7009 §2.1)', async () => {
    const [first, second] = [await app.getTokens({}, newBrowser()), await app.getTokens({}, newBrowser())]
    const answer = await post(`${server.issuer}/revoke`, { token: first.refreshToken }, { as: app.client })
    expect(answer.status).toBe(200)
    expectTokenError(await app.refresh(first.refreshToken))
    expect(await userinfoStatus(server, first.accessToken)).toBe(401)
    expect(await userinfoStatus(server, second.accessToken)).toBe(200)
    expectRefreshed(await app.refresh(second.refreshToken))
  })

  test.skipIf(isPglite)(
    'is the only one that its reused token revokes (SQL lets time pass, on Postgres)',
    async () => {
      const [first, second] = [await app.getTokens({}, newBrowser()), await app.getTokens({}, newBrowser())]
      expectRefreshed(await app.refresh(first.refreshToken))
      await sql(server, `update oidc_token set consumed_at = consumed_at - interval '1 minute'`)
      expectTokenError(await app.refresh(first.refreshToken))
      expect((await app.authorizeSilently(first.user)).get('error')).toBe('login_required')
      expect((await app.authorizeSilently(second.user)).get('code')).toBeTruthy()
      expectRefreshed(await app.refresh(second.refreshToken))
    },
  )

  test.skipIf(isPglite)('is kept when a device that it approved reuses a token', async () => {
    const tv = await server.admin.clients.create({ type: 'device', client_name: 'Bridge TV' })
    const phone = newBrowser()
    await app.getTokens({}, phone)
    const { body } = await post(
      `${server.issuer}/device/authorize`,
      { scope: 'openid offline_access' },
      { as: tv },
    )
    let page = await phone.submit(await phone.open('/device'), { user_code: String(body.user_code) })
    page = await phone.submit(page, {}, 'approve')
    if (page.$('button[value=approve]').length > 0) page = await phone.submit(page, {}, 'approve')
    const form = {
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: String(body.device_code),
    }
    const first = tokensOf(await app.token(form, { as: tv }))
    const refresh = () =>
      app.token({ grant_type: 'refresh_token', refresh_token: first.refreshToken }, { as: tv })
    expectRefreshed(await refresh())
    await sql(server, `update oidc_token set consumed_at = consumed_at - interval '1 minute'`)
    expectTokenError(await refresh())
    expect(await userinfoStatus(server, first.accessToken)).toBe(401)
    expect((await app.authorizeSilently(phone)).get('code')).toBeTruthy()
  })
})

test.skipIf(isPglite)(
  'a consent that is concurrent with signing out everywhere gives the app no tokens (needs Postgres)',
  async () => {
    let faultProxy: FaultProxy | undefined
    const slow = await startTestServer({}, async (url) => {
      const database = new URL(url)
      faultProxy = new FaultProxy({ host: database.hostname, port: Number(database.port) })
      database.port = String(await faultProxy.open())
      return database.href
    })
    await slow.admin.users.create({ username: 'ada', password: PASSWORD })
    const slowApp = await createTestClient(slow)
    const ada = new EndUser(slow.issuer)
    const request = await slowApp.request({ scope: 'openid offline_access', prompt: 'consent' })
    const login = await ada.open(request.url)
    const consent = await ada.submit(login, { username: 'ada', password: PASSWORD })

    // The engine has read the session, and continues with it after the revocation.
    const injected = faultProxy?.onStatement(
      'after',
      { kind: 'delay', milliseconds: 1_500 },
      {},
      ({ text }) => text.includes('session_find'),
    )
    const answering = ada.submit(consent, {}, 'approve')
    while (injected?.affected().length === 0) await pause(10)
    await pause(300)
    await slow.admin.users.signOut({ username: 'ada' })
    const { leftTo } = await answering
    const code = leftTo?.searchParams.get('code')
    if (code) {
      const form = { grant_type: 'authorization_code', code, redirect_uri: CALLBACK }
      expectTokenError(await slowApp.token({ ...form, code_verifier: request.verifier }))
    }
    // The session is revoked also under the new identifier of a page.
    expect((await slowApp.authorizeSilently(ada)).get('error')).toBe('login_required')
    await slow.remove()
    faultProxy?.close()
  },
)
