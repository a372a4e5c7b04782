import * as client from 'openid-client'
import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../../src/admin/clients.ts'
import {
  type CallbackServer,
  launchBrowser,
  startCallbackServer,
  type Tab,
  type TestBrowser,
} from '../support/browser.ts'
import { PASSWORD, startTestServer, type TestServer } from '../support/harness.ts'
import { createRelyingParty, type RelyingParty } from '../support/relying-party.ts'

const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'
const PRIVATE_SCHEME = 'com.example.app:/callback'

let server: TestServer
let browser: TestBrowser
let app: CallbackServer
let web: ClientDocument
let webApp: RelyingParty
let tab: Tab
let page: Page

beforeAll(async () => {
  ;[server, browser, app] = await Promise.all([startTestServer(), launchBrowser(), startCallbackServer()])
  await server.admin.users.create({ username: 'ada', email: 'ada@example.test', password: PASSWORD })
})
afterAll(async () => {
  await browser?.close()
  await app?.close()
  await server?.remove()
})

// Consent is stored: every test uses a new app.
beforeEach(async () => {
  web = await createWebClient({ client_name: 'Harbour Dashboard' })
  webApp = await createRelyingParty(server.issuer, web, { redirectUri: callback() })
  tab = await browser.open()
  page = tab.page
})
afterEach(() => tab.close())

const callback = () => `${app.origin}/callback`
const press = (name: string) => page.getByRole('button', { name, exact: true }).click()
const heading = () => page.getByRole('heading', { level: 1 }).textContent()
const waitForApp = (origin = app.origin) => page.waitForURL((url) => url.origin === origin)
/** Adds the console errors to a failure. */
const throwComplaints = (error: unknown) => {
  throw new Error(`the app was not reached: ${tab.consoleErrors.join('; ')}`, { cause: error })
}

async function createWebClient(metadata: Record<string, unknown>): Promise<ClientDocument> {
  return await server.admin.clients.create({
    type: 'web',
    redirect_uris: [callback()],
    post_logout_redirect_uris: [`${app.origin}/signed-out`],
    ...metadata,
  })
}

async function signIn(password = PASSWORD): Promise<void> {
  await page.getByLabel('Username or e-mail').fill('ada')
  await page.getByLabel('Password', { exact: true }).fill(password)
  await press('Sign in')
}

describe('sign-in and consent', () => {
  for (const javaScriptEnabled of [true, false]) {
    test(`a person signs in, agrees, and is back at the app, ${javaScriptEnabled ? 'under the policy of the pages' : 'without JavaScript'} (kanidm#3354)`, async () => {
      await tab.close()
      tab = await browser.open({ javaScriptEnabled })
      page = tab.page
      const request = await webApp.request({ scope: 'openid email' })
      await page.goto(request.url.href)
      await signIn()
      expect(await heading()).toBe('Let Harbour Dashboard use your account?')
      await press('Allow')
      await waitForApp()
      expect(new URL(page.url()).searchParams.get('iss')).toBe(server.issuer)
      const tokens = await request.redeem(new URL(page.url()))
      expect(tokens.scope).toBe('openid email')
      expect(tab.consoleErrors).toEqual([])
    })
  }

  test('a first-party app needs no consent page: the login form leads to the app', async () => {
    const own = await createWebClient({ client_name: 'Own Portal', first_party: true })
    const portal = await createRelyingParty(server.issuer, own, { redirectUri: callback() })
    const request = await portal.request()
    await page.goto(request.url.href)
    await signIn()
    await waitForApp()
    await request.redeem(new URL(page.url()))
    expect(tab.consoleErrors).toEqual([])
  })

  test('an app may redirect to another of its origins', async () => {
    const redirectUri = `${app.origin}/onward`
    const own = await createWebClient({
      client_name: 'Harbour Mail',
      client_uri: app.loopbackOrigin,
      redirect_uris: [redirectUri],
    })
    const mail = await createRelyingParty(server.issuer, own, { redirectUri })
    await page.goto((await mail.request()).url.href)
    await signIn()
    await press('Allow')
    await waitForApp(app.loopbackOrigin).catch(throwComplaints)
    expect(tab.consoleErrors).toEqual([])
  })

  test('a native app on a loopback port receives the code (RFC 8252 §7.3)', async () => {
    const native = await server.admin.clients.create({
      type: 'native',
      client_name: 'Harbour Desktop',
      redirect_uris: ['http://127.0.0.1/callback'],
    })
    const desktop = await createRelyingParty(server.issuer, native, {
      redirectUri: `${app.loopbackOrigin}/callback`,
    })
    const request = await desktop.request()
    await page.goto(request.url.href)
    await signIn()
    await press('Allow')
    await waitForApp(app.loopbackOrigin)
    await request.redeem(new URL(page.url()))
    expect(tab.consoleErrors).toEqual([])
  })

  test('a native app with a private-use scheme receives the code (RFC 8252 §7.1)', async () => {
    const native = await server.admin.clients.create({
      type: 'native',
      client_name: 'Harbour Mobile',
      redirect_uris: [PRIVATE_SCHEME],
    })
    const mobile = await createRelyingParty(server.issuer, native, { redirectUri: PRIVATE_SCHEME })
    const request = await mobile.request()
    await page.goto(request.url.href)
    await signIn()
    // No program handles the scheme, so the browser requests the URL and fails.
    const called = page.waitForEvent('requestfailed', (failed) => failed.url().startsWith(PRIVATE_SCHEME))
    await press('Allow')
    const attempt = await called
    expect(attempt.failure()?.errorText).toBe('net::ERR_ABORTED')
    await request.redeem(new URL(attempt.url()))
    expect(tab.consoleErrors).toEqual([])
  })

  test('this browser enforces form-action on redirects, which the tests above rely on', async () => {
    await page.goto((await webApp.request()).url.href)
    await signIn()
    await page.getByRole('heading', { name: 'Let Harbour Dashboard' }).waitFor()
    await page.route(page.url(), async (route) => {
      if (route.request().method() !== 'GET') return await route.continue()
      const response = await route.fetch()
      const headers = response.headers()
      const policy = String(headers['content-security-policy'])
      headers['content-security-policy'] = policy.replace(/form-action.*/, "form-action 'self'")
      await route.fulfill({ response, headers })
    })
    await page.reload()
    await press('Allow')
    await expect.poll(() => tab.consoleErrors).toEqual([expect.stringContaining('form-action')])
    expect(new URL(page.url()).origin).toBe(server.issuer)
  })

  for (const javaScriptEnabled of [true, false]) {
    test(`response_mode=form_post reaches the app ${javaScriptEnabled ? 'by itself' : 'at the press of a button, without JavaScript'} (OAuth 2.0 Form Post Response Mode §2)`, async () => {
      await tab.close()
      tab = await browser.open({ javaScriptEnabled })
      page = tab.page
      const request = await webApp.request({ response_mode: 'form_post' })
      await page.goto(request.url.href)
      await signIn()
      await press('Allow')
      if (!javaScriptEnabled) await press('Continue')
      await waitForApp().catch(throwComplaints)
      const arrival = app.arrivals.at(-1)
      expect(arrival?.method).toBe('POST')
      await request.redeem(new URL(`${callback()}?${arrival?.body}`))
      expect(tab.consoleErrors).toEqual([])
    })
  }

  test('a wrong password shows an error and keeps the typed name', async () => {
    await page.goto((await webApp.request()).url.href)
    await signIn('not the password of ada')
    expect(await page.getByRole('alert').textContent()).toContain('do not match')
    expect(await page.getByLabel('Username or e-mail').inputValue()).toBe('ada')
    expect(await page.getByLabel('Password', { exact: true }).inputValue()).toBe('')
    expect(await page.locator(':focus').getAttribute('name')).toBe('password')
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD)
    await press('Sign in')
    expect(await heading()).toContain('Let Harbour Dashboard')
  })

  test('cancelling returns access_denied with state and issuer (RFC 6749 §4.1.2.1, RFC 9207)', async () => {
    const request = await webApp.request()
    await page.goto(request.url.href)
    await signIn()
    await press('Cancel')
    await waitForApp()
    const { searchParams } = new URL(page.url())
    expect(searchParams.get('error')).toBe('access_denied')
    expect(searchParams.get('state')).toBe(request.url.searchParams.get('state'))
    expect(searchParams.get('iss')).toBe(server.issuer)
  })

  test('a scope that the person clears is not granted (RFC 6749 §5.1)', async () => {
    const request = await webApp.request({ scope: 'openid profile email' })
    await page.goto(request.url.href)
    await signIn()
    await page.getByLabel('See your e-mail address').uncheck()
    await press('Allow')
    await waitForApp()
    const tokens = await request.redeem(new URL(page.url()))
    expect(tokens.scope).toBe('openid profile')
  })

  test('the name of an app is shown as text (CVE-2021-26715)', async () => {
    const name = '<img src=x onerror=alert(1)> & "Sons"'
    const hostile = await createWebClient({ client_name: name })
    const shop = await createRelyingParty(server.issuer, hostile, { redirectUri: callback() })
    await page.goto((await shop.request()).url.href)
    expect(await page.getByText('to continue to').textContent()).toBe(`to continue to ${name}`)
    await signIn()
    expect(await heading()).toBe(`Let ${name} use your account?`)
    expect(await page.locator('img').count()).toBe(0)
    expect(tab.consoleErrors).toEqual([])
  })
})

describe('with the keyboard alone', () => {
  /** The accessible name of the focused element. */
  const focused = () =>
    page.evaluate<string>(
      '(document.activeElement.labels?.[0]?.querySelector("strong") ?? document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()',
    )

  test('signing in: the name has the focus, Tab goes on, Enter signs in; Enter in a check box allows', async () => {
    const request = await webApp.request({ scope: 'openid profile email' })
    await page.goto(request.url.href)
    await expect.poll(focused).toBe('Username or e-mail')
    await page.keyboard.type('ada')
    await page.keyboard.press('Tab')
    await expect.poll(focused).toBe('Password')
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press('Tab')
    await page.getByRole('button', { name: 'Show password' }).and(page.locator(':focus')).waitFor()
    await page.keyboard.press('Tab')
    await expect.poll(focused).toContain('Stay signed in on this browser')
    await page.keyboard.press('Tab')
    await expect.poll(focused).toBe('Sign in')
    await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Enter')

    await page.getByRole('heading', { name: 'Let Harbour Dashboard' }).waitFor()
    const order: string[] = []
    for (let stop = 0; stop < 4; stop++) {
      await page.keyboard.press('Tab')
      order.push(await focused())
    }
    expect(order).toEqual(['See your profile', 'See your e-mail address', 'Allow', 'Cancel'])
    for (let stop = 0; stop < 2; stop++) await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Space')
    await page.keyboard.press('Enter')
    await waitForApp()
    const tokens = await request.redeem(new URL(page.url()))
    expect(tokens.scope).toBe('openid profile')
  })

  test('cancelling: Enter on the button refuses', async () => {
    await page.goto((await webApp.request()).url.href)
    await signIn()
    await page.getByRole('heading', { name: 'Let Harbour Dashboard' }).waitFor()
    for (let stop = 0; stop < 2; stop++) await page.keyboard.press('Tab')
    await expect.poll(focused).toBe('Cancel')
    await page.keyboard.press('Enter')
    await waitForApp()
    expect(new URL(page.url()).searchParams.get('error')).toBe('access_denied')
  })

  test('the account page: each button names an access, Enter revokes it, and the page confirms it', async () => {
    await server.admin.users.create({ username: 'grace', password: PASSWORD })
    const elsewhere = await browser.open({
      userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0',
    })
    for (const each of [elsewhere.page, page]) {
      await each.goto(`${server.issuer}/account`)
      await each.getByLabel('Username or e-mail').pressSequentially('grace')
      await each.keyboard.press('Tab')
      await each.keyboard.type(PASSWORD)
      await each.keyboard.press('Enter')
      await each.getByRole('heading', { name: 'Your account' }).waitFor()
    }
    const order: string[] = []
    for (let stop = 0; stop < 5; stop++) {
      await page.keyboard.press('Tab')
      order.push(await focused())
    }
    expect(order).toEqual([
      'Sign out',
      'Sign out of this browser',
      'Sign out Firefox on Linux',
      'Change your password',
      'Sign out everywhere',
    ])
    for (let stop = 0; stop < 2; stop++) await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Enter')
    await page.getByRole('status').waitFor()
    expect(await page.getByRole('listitem').count()).toBe(1)
    await elsewhere.page.reload()
    await elsewhere.page.getByText('Your session has ended').waitFor()
    expect(tab.consoleErrors).toEqual([])
    await elsewhere.close()
  })

  test('connecting a device: the code has the focus, Enter goes on', async () => {
    await page.goto(`${server.issuer}/device`)
    await expect.poll(focused).toBe('Code on your device')
    await page.keyboard.type('bcdfghjk')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').waitFor()
    await expect.poll(focused).toBe('Code on your device')
  })
})

describe('device', () => {
  let config: client.Configuration

  beforeAll(async () => {
    const device = await server.admin.clients.create({ type: 'device', client_name: 'Harbour TV' })
    ;({ config } = await createRelyingParty(server.issuer, device))
  })

  const requestCode = () => client.initiateDeviceAuthorization(config, { scope: 'openid email' })
  const poll = ({ device_code }: { device_code: string }) =>
    client.genericGrantRequest(config, DEVICE_GRANT, { device_code })

  test('a person enters the code, confirms it, and the device gets its tokens (RFC 8628 §3.3)', async () => {
    const authorization = await requestCode()
    await page.goto(authorization.verification_uri)
    // Lower case without a dash.
    await page.getByLabel('Code on your device').fill(authorization.user_code.toLowerCase().replace('-', ' '))
    await press('Continue')
    expect(await heading()).toBe('Is this your device?')
    expect(await page.getByText(authorization.user_code, { exact: true }).isVisible()).toBe(true)
    expect(await page.locator('main').textContent()).toContain('Harbour TV')
    await press('Yes, connect')
    await signIn()
    await press('Allow')
    await page.getByRole('heading', { name: 'Your device is connected' }).waitFor()
    expect((await poll(authorization)).scope).toBe('openid email')
    expect(tab.consoleErrors).toEqual([])
  })

  test('a refusal returns access_denied to the device (RFC 8628 §3.5)', async () => {
    const authorization = await requestCode()
    await page.goto(authorization.verification_uri)
    await page.getByLabel('Code on your device').fill(authorization.user_code)
    await press('Continue')
    await press('No, stop')
    await page.getByRole('heading', { name: 'Nothing was connected' }).waitFor()
    await expect(poll(authorization)).rejects.toMatchObject({ error: 'access_denied' })
    expect(tab.consoleErrors).toEqual([])
  })

  test('verification_uri_complete fills the field and waits for the person (RFC 8628 §3.3.1, §5.4)', async () => {
    const authorization = await requestCode()
    await page.goto(String(authorization.verification_uri_complete))
    const field = page.getByLabel('Code on your device')
    expect(await field.inputValue()).toBe(authorization.user_code)
    await press('Continue')
    expect(await heading()).toBe('Is this your device?')
  })

  test('an unknown user code is rejected, and stays in the field', async () => {
    await page.goto(`${server.issuer}/device`)
    await page.getByLabel('Code on your device').fill('BCDF-GHJK')
    await press('Continue')
    expect(await page.getByRole('alert').textContent()).toContain('We do not know that code')
    expect(await page.getByLabel('Code on your device').inputValue()).toBe('BCDF-GHJK')
    expect(tab.consoleErrors).toEqual([])
  })
})

describe('signing out', () => {
  async function openLogout(parameters: Record<string, string> = {}): Promise<void> {
    const request = await webApp.request()
    await page.goto(request.url.href)
    await signIn()
    await press('Allow')
    await waitForApp()
    const { id_token = '' } = await request.redeem(new URL(page.url()))
    const url = client.buildEndSessionUrl(webApp.config, { id_token_hint: id_token, ...parameters })
    await page.goto(url.href)
    expect(await heading()).toBe('Sign out?')
  }

  test('the person confirms, and must sign in again', async () => {
    await openLogout()
    expect(await page.locator('main').textContent()).toContain('You are signed in as ada')
    await press('Sign out')
    await page.getByRole('heading', { name: 'You are signed out' }).waitFor()
    await page.goto((await webApp.request()).url.href)
    expect(await heading()).toBe('Sign in')
    expect(tab.consoleErrors).toEqual([])
  })

  test('returns to the app with its state (OpenID Connect RP-Initiated Logout §3)', async () => {
    await openLogout({ post_logout_redirect_uri: `${app.origin}/signed-out`, state: 'abc' })
    await press('Sign out')
    await waitForApp()
    expect(page.url()).toBe(`${app.origin}/signed-out?state=abc`)
    expect(tab.consoleErrors).toEqual([])
  })

  test('the person can stay signed in, and the page says so', async () => {
    await openLogout()
    await press('Stay signed in')
    await page.getByRole('heading', { name: 'You are still signed in' }).waitFor()
    expect(tab.consoleErrors).toEqual([])
  })

  test('the Back button shows no data of the person who signed out', async () => {
    await openLogout()
    await press('Sign out')
    await page.getByRole('heading', { name: 'You are signed out' }).waitFor()
    for (let steps = 0; steps < 4; steps++) {
      await page.goBack()
      expect(await page.locator('html').textContent(), page.url()).not.toContain('ada')
    }
  })
})

test.each(['sign-in', '/account/sign-in', '/device', '/logout', '/nowhere'])(
  'the page %s cannot be shown in a frame (RFC 9700 §4.16)',
  async (path) => {
    const start = path === 'sign-in' ? (await webApp.request()).url.href : `${server.issuer}${path}`
    // Opened alone first, so that the browser has its cookies.
    await page.goto(start)
    const url = page.url()
    await page.goto(`${app.origin}/frame?of=${encodeURIComponent(url)}`)
    await expect.poll(() => tab.consoleErrors.join()).toContain('frame-ancestors')
    expect(page.frames().map((frame) => frame.url())).not.toContain(url)
  },
)
