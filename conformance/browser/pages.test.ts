import * as client from 'openid-client'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, test } from 'vitest'
import type { ClientDocument } from '../../src/admin/clients.ts'
import {
  type CallbackServer,
  launchBrowser,
  startCallbackServer,
  type TestBrowser,
} from '../support/browser.ts'
import { later } from '../support/clock.ts'
import { PASSWORD, startTestServer, type TestServer } from '../support/harness.ts'
import { sql } from '../support/http.ts'
import { expectGoodPage } from '../support/page-checks.ts'
import { type AuthorizationRequest, createRelyingParty } from '../support/relying-party.ts'

const API = 'https://api.harbour.example/'

let server: TestServer
let browser: TestBrowser
let app: CallbackServer
let dashboard: ClientDocument
let wordy: ClientDocument
let tv: client.Configuration

beforeAll(async () => {
  ;[server, browser, app] = await Promise.all([startTestServer(), launchBrowser(), startCallbackServer()])
  const { users, clients, resources } = server.admin
  await users.create({ username: 'ada', email: 'ada@example.test', name: 'Ada Lovelace', password: PASSWORD })
  await resources.create({ identifier: API, scope: 'ships:read berths:book', format: 'jwt' })
  const web = { type: 'web', redirect_uris: [`${app.origin}/callback`] }
  const about = {
    client_uri: 'https://harbour.example/',
    policy_uri: 'https://harbour.example/privacy',
    tos_uri: 'https://harbour.example/terms',
  }
  dashboard = await clients.create({ ...web, client_name: 'Harbour Dashboard', resources: [API], ...about })
  wordy = await clients.create({
    ...web,
    client_name: `Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft ${'x'.repeat(90)}`,
    client_uri: `https://${'very-long-label-of-a-host.'.repeat(4)}example/`,
  })
  const device = await clients.create({ type: 'device', client_name: 'Harbour TV', ...about })
  ;({ config: tv } = await createRelyingParty(server.issuer, device))
})
afterAll(async () => {
  await browser?.close()
  await app?.close()
  await server?.remove()
})

/** The steps to each page. */
const PAGES: Record<string, (page: Page) => Promise<unknown>> = {
  home: (page) => page.goto(server.issuer),
  'not-found': (page) => page.goto(`${server.issuer}/nowhere`),
  'unknown-client': (page) =>
    page.goto(`${server.issuer}/authorize?client_id=nobody&response_type=code&scope=openid`),
  expired: (page) => page.goto(`${server.issuer}/interaction/none`),
  login: (page) => openRequest(page),
  'login-rejected': async (page) => {
    await openRequest(page)
    await signIn(page, 'not the password of ada')
  },
  consent: async (page) => {
    await openRequest(page)
    await signIn(page)
  },
  'consent-wordy': async (page) => {
    await openRequest(page, wordy, { scope: 'openid profile' })
    await signIn(page)
  },
  'device-code': (page) => page.goto(`${server.issuer}/device`),
  'device-code-unknown': async (page) => {
    await page.goto(`${server.issuer}/device?user_code=BCDF-GHJK`)
    await press(page, 'Continue')
  },
  'device-confirm': (page) => openDevice(page),
  'device-denied': async (page) => {
    await openDevice(page)
    await press(page, 'No, stop')
  },
  'device-done': async (page) => {
    await openDevice(page)
    await press(page, 'Yes, connect')
    await signIn(page)
    await press(page, 'Allow')
  },
  logout: (page) => openLogout(page),
  'logout-done': async (page) => {
    await openLogout(page)
    await press(page, 'Sign out')
  },
  'logout-stayed': async (page) => {
    await openLogout(page)
    await press(page, 'Stay signed in')
  },
  'login-ended': async (page) => {
    await openLogout(page)
    await page.context().clearCookies({ name: /^sallyport_session/ })
    await openRequest(page)
  },
  account: async (page) => {
    await openAccount(page)
    await connectDevice(page)
    await page.goto(`${server.issuer}/account`)
  },
  'account-new': async (page) => {
    await server.admin.users.create({ username: 'newcomer', password: PASSWORD })
    await openAccount(page, 'newcomer')
  },
  'account-ended': async (page) => {
    await openAccount(page)
    await page.goto(`${server.issuer}/account?done=ended`)
  },
  'account-confirm': async (page) => {
    await openAccount(page)
    await later(6 * 60, () => press(page, 'Sign out everywhere'))
  },
  'account-confirm-rejected': async (page) => {
    await openAccount(page)
    await later(6 * 60, async () => {
      await press(page, 'Sign out everywhere')
      await page.getByLabel('Password', { exact: true }).fill('not the password of ada')
      await press(page, 'Continue')
      await page.getByRole('alert').waitFor()
    })
  },
  'account-password': async (page) => {
    await openAccount(page)
    await page.getByRole('link', { name: 'Change your password' }).click()
  },
  'account-password-rule': async (page) => {
    await openAccount(page)
    await page.goto(`${server.issuer}/account/password`)
    await page.getByLabel('Current password').fill(PASSWORD)
    // Long enough for the browser, which counts UTF-16 code units.
    await page.getByLabel('New password').fill('🦑'.repeat(8))
    await press(page, 'Change password')
  },
}

describe.each(Object.keys(PAGES))('the page %s', (name) => {
  test('fits phone and desktop in light and dark, is accessible, and loads nothing from other origins', async () => {
    const tab = await browser.open()
    await PAGES[name]?.(tab.page)
    await expectGoodPage(tab, name, [server.issuer, app.origin])
    await tab.close()
  })
})

async function openRequest(
  page: Page,
  metadata = dashboard,
  parameters: Record<string, string> = {
    scope: 'openid profile email offline_access ships:read berths:book',
    resource: API,
    prompt: 'consent',
  },
): Promise<AuthorizationRequest> {
  const relyingParty = await createRelyingParty(server.issuer, metadata, {
    redirectUri: `${app.origin}/callback`,
  })
  const request = await relyingParty.request(parameters)
  await page.goto(request.url.href)
  return request
}

async function signIn(page: Page, password = PASSWORD): Promise<void> {
  await page.getByLabel('Username or e-mail').fill('ada')
  await page.getByLabel('Password', { exact: true }).fill(password)
  await press(page, 'Sign in')
}

async function openDevice(page: Page): Promise<void> {
  const authorization = await client.initiateDeviceAuthorization(tv, { scope: 'openid email' })
  await page.goto(String(authorization.verification_uri_complete))
  await press(page, 'Continue')
}

async function openAccount(page: Page, username = 'ada'): Promise<void> {
  await page.goto(`${server.issuer}/account`)
  await page.getByLabel('Username or e-mail').fill(username)
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD)
  await page.getByLabel('Stay signed in on this browser').check()
  await press(page, 'Sign in')
  await page.getByRole('heading', { name: 'Your account' }).waitFor()
}

async function connectDevice(page: Page): Promise<void> {
  const authorization = await client.initiateDeviceAuthorization(tv, { scope: 'openid email offline_access' })
  await page.goto(String(authorization.verification_uri_complete))
  await press(page, 'Continue')
  await press(page, 'Yes, connect')
  await press(page, 'Allow')
  await sql(server, `update oidc_token set polled_at = null`)
  await client.pollDeviceAuthorizationGrant(tv, { ...authorization, interval: 0.1 })
}

async function openLogout(page: Page): Promise<void> {
  const request = await openRequest(page, dashboard, { scope: 'openid', prompt: 'consent' })
  await signIn(page)
  await press(page, 'Allow')
  await page.waitForURL((url) => url.origin === app.origin)
  const { id_token = '' } = await request.redeem(new URL(page.url()))
  const logout = new URL('/logout', server.issuer)
  logout.searchParams.set('id_token_hint', id_token)
  await page.goto(logout.href)
}

async function press(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name, exact: true }).click()
}
