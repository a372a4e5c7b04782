import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { later } from './support/clock.ts'
import { createTestClient, type TestClient, userinfoStatus } from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post } from './support/http.ts'

const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'
const NEW_PASSWORD = 'a wholly new passphrase'
const COOKIES = ['sallyport_session', 'sallyport_remember']

let server: TestServer
let app: TestClient
let people = 0

beforeAll(async () => {
  server = await startTestServer()
  app = await createTestClient(server, { client_name: 'Harbour Dashboard' })
})
afterAll(() => server?.remove())

/** A person who uses an app in two browsers, one of them remembered, and on a device. */
type Scene = { username: string; phone: Holder; desk: Holder; tv: Holder }

/** The cookies and tokens that one of them has received. */
type Holder = {
  user: EndUser
  refreshTokens: string[]
  accessTokens: string[]
  as: Pick<TestClient['client'], 'client_id' | 'client_secret'>
}

async function setScene(): Promise<Scene> {
  const username = `ada${people++}`
  await server.admin.users.create({ username, password: PASSWORD })
  const phone = await useApp(username, { remember: 'yes' })
  const desk = await useApp(username)
  return { username, phone, desk, tv: await connectDevice(desk.user) }
}

async function useApp(username: string, fields: Record<string, string> = {}): Promise<Holder> {
  const user = new EndUser(server.issuer)
  const page = await user.open('/account')
  await user.submit(page, { username, password: PASSWORD, ...fields })
  const holder: Holder = { user, refreshTokens: [], accessTokens: [], as: app.client }
  for (const scope of ['openid', 'openid offline_access']) {
    const { refreshToken, accessToken } = await app.getTokens({ scope, prompt: 'consent' }, user, username)
    const { body } = await app.refresh(refreshToken)
    holder.refreshTokens.push(String(body.refresh_token))
    holder.accessTokens.push(accessToken, String(body.access_token))
  }
  return holder
}

async function connectDevice(user: EndUser): Promise<Holder> {
  const as = await server.admin.clients.create({ type: 'device', client_name: 'Bridge TV' })
  const { body } = await post(`${server.url}/device/authorize`, { scope: 'openid offline_access' }, { as })
  let page = await user.submit(await user.open(`/device?user_code=${String(body.user_code)}`))
  for (let pages = 0; pages < 2; pages++) page = await user.submit(page, {}, 'approve')
  const form = { grant_type: DEVICE_GRANT, device_code: String(body.device_code) }
  const answer = await post(`${server.url}/token`, form, { as })
  expect(answer.status, answer.text).toBe(200)
  return {
    user: new EndUser(server.issuer),
    refreshTokens: [String(answer.body.refresh_token)],
    accessTokens: [String(answer.body.access_token)],
    as,
  }
}

/** Counts the usable tokens. Each try spends a refresh token, so its successor replaces it. */
async function livingTokens({ refreshTokens, accessTokens, as }: Holder): Promise<number> {
  let living = 0
  for (const [index, refresh_token] of refreshTokens.entries()) {
    const answer = await post(`${server.url}/token`, { grant_type: 'refresh_token', refresh_token }, { as })
    if (answer.status !== 200) expect(answer.body.error).toBe('invalid_grant')
    else {
      living++
      refreshTokens[index] = String(answer.body.refresh_token)
    }
  }
  for (const token of accessTokens) {
    const isAlive = (await userinfoStatus(server, token)) === 200
    const { body } = await post(`${server.url}/introspect`, { token }, { as: app.client })
    if (as === app.client) expect(body.active).toBe(isAlive)
    if (isAlive) living++
  }
  return living
}

/** Whether any cookie that the browser has received signs a person in. */
async function someCookieWorks({ user }: Holder): Promise<boolean> {
  const given = user.cookiesSet
    .map((cookie) => cookie.split(';')[0] ?? '')
    .filter((pair) => !pair.endsWith('='))
  const values = given.filter((pair) => COOKIES.some((name) => pair.startsWith(`${name}=`)))
  expect(values.length).toBeGreaterThan(1)
  const signatures = given.filter((pair) => pair.includes('.sig='))
  for (const value of values)
    for (const signature of signatures.filter((pair) => pair.startsWith(`${value.split('=')[0]}.sig=`))) {
      const thief = new EndUser(server.issuer)
      thief.headers.cookie = `${value}; ${signature}`
      const { searchParams } = new URL(
        (await thief.open((await app.request({ prompt: 'none' })).url)).leftTo ?? '',
      )
      if (searchParams.get('error') !== 'login_required') return true
    }
  return false
}

async function expectDead(...holders: Holder[]): Promise<void> {
  for (const holder of holders) {
    expect(await livingTokens(holder)).toBe(0)
    if (holder.user.cookiesSet.length > 0) expect(await someCookieWorks(holder)).toBe(false)
  }
}

async function expectAlive(...holders: Holder[]): Promise<void> {
  for (const holder of holders) {
    expect(await livingTokens(holder)).toBe(holder.refreshTokens.length + holder.accessTokens.length)
    if (holder.user.cookiesSet.length > 0)
      expect((await app.authorizeSilently(holder.user)).has('code')).toBe(true)
  }
}

/** Presses a button of the account page, found by its hidden fields. */
async function press(user: EndUser, fields: Record<string, RegExp | string>): Promise<void> {
  const page = await user.open('/account')
  const form = page
    .$('form')
    .toArray()
    .map((element) => ({
      action: page.$(element).attr('action') ?? '',
      body: new URLSearchParams(page.$(element).serialize()),
      words: page.$(element).closest('li').text(),
    }))
    .find(({ action, body, words }) =>
      Object.entries(fields).every(([name, value]) =>
        name === 'action'
          ? action === value
          : name === 'words'
            ? words.match(value)
            : body.get(name) === value,
      ),
    )
  if (!form) throw new Error(`no such button in ${page.$('main').text()}`)
  await user.post(form.action, form.body)
}

describe('the tokens of a person in two browsers and a device end', () => {
  test('for one browser, when an app signs them out there', async () => {
    const { phone, desk, tv } = await setScene()
    const { idToken } = await app.getTokens({}, phone.user)
    await phone.user.submit(await phone.user.open(`/logout?id_token_hint=${idToken}`), {}, 'approve')
    await expectDead(phone)
    await expectAlive(desk, tv)
  })

  test('for one browser, when they end it from the other one', async () => {
    const { phone, desk, tv } = await setScene()
    await press(desk.user, { what: 'browser', words: /remembered until/ })
    await expectDead(phone)
    await expectAlive(desk, tv)
  })

  test('for the device, when they end it', async () => {
    const { phone, desk, tv } = await setScene()
    await press(phone.user, { what: 'device' })
    await expectDead(tv)
    await expectAlive(phone, desk)
  })

  test('for one browser, not for the device it approved, when they sign out', async () => {
    const { phone, desk, tv } = await setScene()
    await desk.user.submit(await desk.user.open('/logout'), {}, 'approve')
    await expectDead(desk)
    await expectAlive(phone, tv)
  })

  test('for one app in both browsers, when they revoke its consent; the sessions stay', async () => {
    const { phone, desk, tv } = await setScene()
    await press(desk.user, { what: 'app' })
    for (const holder of [phone, desk]) {
      expect(await livingTokens(holder)).toBe(0)
      expect((await app.authorizeSilently(holder.user)).get('error')).toBe('consent_required')
    }
    await expectAlive(tv)
  })

  test('for all, when they sign out everywhere', async () => {
    const { phone, desk, tv } = await setScene()
    await press(desk.user, { action: '/account/sign-out-everywhere' })
    await expectDead(phone, desk, tv)
  })

  test('for all but the current browser, when they change the password', async () => {
    const { phone, desk, tv } = await setScene()
    const page = await desk.user.open('/account/password')
    await desk.user.submit(page, { password: PASSWORD, new_password: NEW_PASSWORD })
    await expectDead(phone, tv)
    await expectAlive(desk)
  })

  test.for([
    ['signs them out', (username: string) => server.admin.users.signOut({ username })],
    ['locks them out', (username: string) => server.admin.users.disable({ username })],
    ['deletes them', (username: string) => server.admin.users.delete({ username })],
    [
      'gives them a password',
      (username: string) => server.admin.users.setPassword({ username, password: NEW_PASSWORD }),
    ],
  ] as const)('for all, when an operator %s', async ([, act]) => {
    const { username, phone, desk, tv } = await setScene()
    await act(username)
    await expectDead(phone, desk, tv)
  })

  test('for one browser, when a replaced remember-me cookie is used', async () => {
    const { username, phone, desk, tv } = await setScene()
    const pairs = phone.user.cookiesSet.map((cookie) => cookie.split(';')[0] ?? '')
    const old = pairs.filter((pair) => pair.startsWith('sallyport_remember')).join('; ')
    phone.user.jar.setCookieSync('sallyport_session=; Path=/; Max-Age=0', server.issuer)
    const { accessToken, refreshToken } = await app.getTokens({}, phone.user, username)
    phone.accessTokens.push(accessToken)
    phone.refreshTokens = [refreshToken]
    await later(60, async () => {
      const thief = new EndUser(server.issuer)
      thief.headers.cookie = old
      expect((await app.authorizeSilently(thief)).get('error')).toBe('login_required')
    })
    expect((await app.authorizeSilently(phone.user)).get('error')).toBe('login_required')
    expect((await app.refresh(refreshToken)).body.error).toBe('invalid_grant')
    expect(await userinfoStatus(server, accessToken)).toBe(401)
    await expectAlive(desk, tv)
  })
})
