import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { cloneBrowser, createTestClient, type TestClient } from './support/code-flow.ts'
import { enterCode, pollDevice, startDevice } from './support/device-flow.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { FaultProxy, type Statement } from './support/fault-proxy.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, letPollIntervalPass, send, sql } from './support/http.ts'

const COOKIE = 'sallyport_session'
const NEW_PASSWORD = 'a wholly new passphrase'
const isLook = ({ text }: Statement) => text.includes('/* session_find */')
const isCode = ({ text }: Statement) => text.includes('/* token_insert */')

let server: TestServer
/** Another instance behind its own fault proxy. */
let another: string
let faultProxies: { server: FaultProxy; another: FaultProxy }
let app: TestClient
let other: TestClient
let tv: ClientDocument
let ada: EndUser
let people = 0

beforeAll(async () => {
  const openFaultProxy = async (url: string) => {
    const database = new URL(url)
    const faultProxy = new FaultProxy({ host: database.hostname, port: Number(database.port) })
    database.port = String(await faultProxy.open())
    return { faultProxy, url: database.href }
  }
  let databaseUrl = ''
  let faultProxy: FaultProxy | undefined
  server = await startTestServer({}, async (url) => {
    databaseUrl = url
    const opened = await openFaultProxy(url)
    faultProxy = opened.faultProxy
    return opened.url
  })
  const second = await openFaultProxy(databaseUrl)
  if (faultProxy) faultProxies = { server: faultProxy, another: second.faultProxy }
  another = (await server.startAnother({ DATABASE_URL: second.url })).url
  app = await createTestClient(server, { first_party: true })
  other = await createTestClient(server, { client_name: 'Other App', first_party: true })
  tv = await server.admin.clients.create({ type: 'device', client_name: 'Bridge TV', first_party: true })
})
afterAll(async () => {
  await server?.remove()
  for (const faultProxy of Object.values(faultProxies ?? {})) faultProxy.close()
})

/** A person who is signed in with a new browser. */
beforeEach(async () => {
  const username = `ada${people++}`
  await server.admin.users.create({ username, password: PASSWORD })
  ada = new EndUser(server.issuer)
  await app.getCode({}, ada, username)
})
const username = () => `ada${people - 1}`

/** A request of a browser tab, with the browser's cookies at that time. */
type Tab = Readonly<{ user: EndUser; answer: Promise<Page> }>

const isHere = (where: string) => where === 'the same instance'

/**
 * Sends requests in tabs of one browser. Each is held at its own statement until the returned function releases them.
 */
async function openTabs(
  opens: readonly ((user: EndUser) => Promise<Page>)[],
  { where = 'another instance', at = isLook, browser = ada } = {},
): Promise<{ tabs: Tab[]; release: () => void }> {
  const faultProxy = isHere(where) ? faultProxies.server : faultProxies.another
  const { promise, resolve } = Promise.withResolvers<void>()
  const tabs: Tab[] = []
  for (const open of opens) {
    const injected = faultProxy.onStatement('before', { kind: 'hold', until: promise }, {}, at)
    const user = cloneBrowser(browser, isHere(where) ? server.url : another)
    user.cookiesSet.length = 0
    tabs.push({ user, answer: open(user) })
    await expect.poll(() => injected.affected().length, { timeout: 10_000 }).toBe(1)
  }
  return { tabs, release: resolve }
}

const opening = (path: string | URL) => (user: EndUser) => user.open(path)

/** Applies the cookies of a late answer to the browser. */
async function receive({ user, answer }: Tab): Promise<Page> {
  const page = await answer
  for (const cookie of user.cookiesSet) await ada.jar.setCookie(cookie, server.issuer)
  return page
}

const silently = async (of = app) => (await of.request({ prompt: 'none' })).url

/** Every way to replace a session's identifier, prepared up to its last step. The person stays signed in. */
const REPLACEMENTS: Record<string, () => Promise<() => Promise<unknown>>> = {
  'prompt=login': async () => {
    const page = await ada.open((await app.request({ prompt: 'login' })).url)
    return async () => {
      const { leftTo } = await ada.submit(page, { username: username(), password: PASSWORD })
      expect(leftTo?.searchParams.get('code')).toBeTruthy()
    }
  },
  'a device that is approved': async () => {
    const page = await ada.submit(await enterCode(ada, await startDevice(server, tv)), {}, 'approve')
    return async () => expect((await ada.submit(page, {}, 'approve')).status).toBe(200)
  },
  'consent to more': async () => {
    const asking = await createTestClient(server, { client_name: 'Asking App' })
    const page = await ada.open((await asking.request()).url)
    return async () => {
      const { leftTo } = await ada.submit(page, {}, 'approve')
      expect(leftTo?.searchParams.get('code')).toBeTruthy()
    }
  },
}
const prepareSignIn = REPLACEMENTS['prompt=login'] as () => Promise<() => Promise<unknown>>

const isSignedIn = async () => (await app.authorizeSilently(ada)).has('code')
const sessionCookies = ({ user }: Tab) => user.cookiesSet.filter((cookie) => cookie.startsWith(COOKIE))

describe.for(Object.entries(REPLACEMENTS))('while %s replaces a session’s identifier', ([, prepare]) => {
  test.for(['the same instance', 'another instance'])(
    'answers requests of three tabs in flight at %s as signed in, and keeps the browser signed in',
    async (where) => {
      const paths = [await silently(), '/account', await silently(other)]
      const replace = await prepare()
      const { tabs, release } = await openTabs(paths.map(opening), { where })
      await replace()
      release()
      const [first, account, second] = await Promise.all(tabs.map(receive))
      expect(first?.leftTo?.searchParams.get('code')).toBeTruthy()
      expect(second?.leftTo?.searchParams.get('code')).toBeTruthy()
      expect(account?.status).toBe(200)
      expect(account?.$('main').text()).toContain(username())
      expect(tabs.flatMap(sessionCookies)).toEqual([])
      expect(await isSignedIn()).toBe(true)
    },
  )

  test('keeps the browser signed in when a request that read the session is answered late, and redeems its code', async () => {
    const request = await other.request({ prompt: 'none' })
    const replace = await prepare()
    const { tabs, release } = await openTabs([opening(request.url)], { at: isCode })
    await replace()
    release()
    const [page] = await Promise.all(tabs.map(receive))
    expect(tabs.flatMap(sessionCookies)).toEqual([])
    expect(await isSignedIn()).toBe(true)
    // The client is new to the session, which must hold it under the new identifier.
    expect((await request.redeem(page?.leftTo)).access_token).toBeTruthy()
  })

  test('answers requests with the old identifier as not signed in, and sets no cookie', async () => {
    const before = cloneBrowser(ada)
    await (await prepare())()
    for (const at of [server.url, another]) {
      const user = cloneBrowser(before, at)
      user.cookiesSet.length = 0
      expect((await app.authorizeSilently(user)).get('error')).toBe('login_required')
      for (const path of ['/device', '/logout', '/account', (await app.request()).url]) await user.open(path)
      expect(user.cookiesSet.filter((cookie) => cookie.startsWith(COOKIE))).toEqual([])
    }
    expect(await isSignedIn()).toBe(true)
  })
})

describe('keeps the browser signed in', () => {
  test('when its password changes during requests of three tabs, which are answered as not signed in', async () => {
    const page = await ada.open('/account/password')
    const paths = [await silently(), '/account', await silently(other)]
    const { tabs, release } = await openTabs(paths.map(opening))
    await ada.submit(page, { password: PASSWORD, new_password: NEW_PASSWORD })
    release()
    const [first, , second] = await Promise.all(tabs.map(receive))
    // The password may have been changed because the old identifier was stolen.
    for (const answer of [first, second])
      expect(answer?.leftTo?.searchParams.get('error')).toBe('login_required')
    expect(tabs.flatMap(sessionCookies)).toEqual([])
    expect(await isSignedIn()).toBe(true)
  })

  test('when it signs in at the account page during anonymous requests of other tabs', async () => {
    ada = new EndUser(server.issuer)
    await ada.open('/device')
    const page = await ada.open('/account')
    const { tabs, release } = await openTabs(['/device', '/logout', await silently()].map(opening))
    expect((await ada.submit(page, { username: username(), password: PASSWORD })).status).toBe(200)
    release()
    await Promise.all(tabs.map(receive))
    expect(await isSignedIn()).toBe(true)
  })

  test('when it signs out and in again during requests of other tabs', async () => {
    const page = await ada.open('/logout')
    const { tabs, release } = await openTabs(['/device', await silently()].map(opening))
    await ada.submit(page, {}, 'approve')
    await app.getCode({}, ada, username())
    release()
    const [, answer] = await Promise.all(tabs.map(receive))
    expect(answer?.leftTo?.searchParams.get('error')).toBe('login_required')
    expect(await isSignedIn()).toBe(true)
  })

  test('when two of its tabs sign in at once, and returns both to their apps', async () => {
    const requests = [await app.request({ prompt: 'login' }), await other.request({ prompt: 'login' })]
    const [first, second] = [await ada.open(requests[0]?.url ?? ''), await ada.open(requests[1]?.url ?? '')]
    const proof = { username: username(), password: PASSWORD }
    const { tabs, release } = await openTabs([(user) => user.submit(second, proof)])
    const pages = [await ada.submit(first, proof)]
    release()
    pages.push(...(await Promise.all(tabs.map(receive))))
    for (const [index, { leftTo }] of pages.entries())
      expect((await requests[index]?.redeem(leftTo))?.access_token).toBeTruthy()
    expect(await isSignedIn()).toBe(true)
  })
})

describe('a request whose session identifier was replaced while it was in flight', () => {
  test('writes nothing: its form is rejected', async () => {
    const started = await startDevice(server, tv)
    const page = await enterCode(ada, started)
    const replace = await prepareSignIn()
    const { tabs, release } = await openTabs([(user) => user.submit(page, {}, 'approve')])
    await replace()
    release()
    const [answer] = await Promise.all(tabs.map(receive))
    expect(answer?.$('button[value=approve]')).toHaveLength(0)
    await letPollIntervalPass(server)
    expect((await pollDevice(server.url, started, tv)).body.error).toBe('authorization_pending')
  })

  test('does not sign in a fixated identifier (ASVS 7.2.4)', async () => {
    const attacker = new EndUser(server.issuer)
    await attacker.open('/device')
    ada = cloneBrowser(attacker)
    const paths = [await silently(), '/account']
    const { tabs, release } = await openTabs(paths.map(opening), { browser: attacker })
    await app.getCode({}, ada, username())
    release()
    const [silent, account] = await Promise.all(tabs.map(({ answer }) => answer))
    expect(silent?.leftTo?.searchParams.get('error')).toBe('login_required')
    expect(account?.$('input[name=password]')).toHaveLength(1)
  })

  test.for<[what: string, end: () => Promise<unknown>]>([
    ['signed out', async () => ada.submit(await ada.open('/logout'), {}, 'approve')],
    ['signed out everywhere', () => server.admin.users.signOut({ username: username() })],
    ['disabled', () => server.admin.users.disable({ username: username() })],
    [
      'given a new password',
      () => server.admin.users.setPassword({ username: username(), password: NEW_PASSWORD }),
    ],
  ])('reads nothing when the person was also %s', async ([, end]) => {
    const replace = await prepareSignIn()
    const { tabs, release } = await openTabs([await silently(), '/account'].map(opening))
    await replace()
    await end()
    release()
    const [silent, account] = await Promise.all(tabs.map(receive))
    expect(silent?.leftTo?.searchParams.get('error')).toBe('login_required')
    expect(account?.$('input[name=password]')).toHaveLength(1)
  })

  test('cannot read the session ten seconds later', async () => {
    const replace = await prepareSignIn()
    const { tabs, release } = await openTabs([opening(await silently())])
    await replace()
    await sql(server, `update oidc_session set readable_until = readable_until - interval '11 seconds'`)
    release()
    const [answer] = await Promise.all(tabs.map(receive))
    expect(answer?.leftTo?.searchParams.get('error')).toBe('login_required')
    expect(await isSignedIn()).toBe(true)
  })
})

test('gets another identifier after ten minutes, if the browser never received the new one', async () => {
  const before = cloneBrowser(ada)
  await (await prepareSignIn())()
  await sql(server, `update oidc_session set ended_at = ended_at - interval '11 minutes'`)
  before.cookiesSet.length = 0
  await before.open('/device')
  expect(before.cookiesSet.some((cookie) => cookie.startsWith(`${COOKIE}=`))).toBe(true)
})

test('sets the session cookie again only when the session is extended', async () => {
  const cookie = await ada.jar.getCookieString(server.issuer)
  const ask = async (): Promise<Answer> => await send(String(await silently()), { headers: { cookie } })
  expect((await ask()).headers.getSetCookie()).toEqual([])
  await sql(
    server,
    `update oidc_session set expires_at = expires_at - interval '2 minutes',
       payload = jsonb_set(payload, '{exp}', to_jsonb((payload ->> 'exp')::int - 120)) where ended_at is null`,
  )
  const [first = ''] = (await ask()).headers.getSetCookie()
  expect(first).toMatch(new RegExp(`^${COOKIE}=.*; expires=`))
})
