import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { AppOnPage, BrowserOnPage, MayOnPage, Pages } from '../../src/oidc/pages.ts'
import { launchBrowser, type Tab, type TestBrowser } from '../support/browser.ts'
import { expectGoodPage } from '../support/page-faults.ts'
import { type PageServer, type Sample, startPageServer } from '../support/page-server.ts'

const SCRIPT = '<script>document.title = "harmed"</script><img src=x onerror=alert(1)>'
const LONG_NAME = `Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft ${'x'.repeat(90)}`
const RIGHT_TO_LEFT = 'לוח הנמל (3) – ראשי'
const LONG_AGENT = 'Mozilla/5.0(compatible;HarbourBrowser/12.4;+https://harbour.ex'

const at = (month: number, day: number) => new Date(Date.UTC(2026, month - 1, day, 9, 12, 34))

const ours = (scope: string): MayOnPage => ({ scope, isOurs: true })
const theirs = (scope: string): MayOnPage => ({ scope, isOurs: false })

const FIREFOX: BrowserOnPage = {
  id: 'this',
  program: 'Firefox',
  system: 'Linux',
  address: '203.0.113.24',
  since: at(11, 3),
  seen: at(11, 24),
  isThis: true,
  rememberedUntil: undefined,
}
const HARBOUR: AppOnPage = {
  id: 'harbour',
  name: 'Harbour Dashboard',
  host: 'harbour.example',
  since: at(11, 3),
  may: ['openid', 'email', 'offline_access'].map(ours),
  isFirstParty: false,
}
const ACCOUNT: Pages['account'] = {
  csrf: 'token',
  username: 'ada',
  email: 'ada@example.test',
  done: undefined,
  emailChange: true,
  emailVerified: false,
  browsers: [FIREFOX],
  remembered: [],
  devices: [],
  deviceCount: 0,
  apps: [],
}
const RICH: Pages['account'] = {
  ...ACCOUNT,
  username: `ada.${'lovelace-'.repeat(12)}`,
  email: `ada@${'very-long-label-of-a-host.'.repeat(4)}example`,
  done: 'ended',
  browsers: [
    { ...FIREFOX, rememberedUntil: at(12, 24) },
    {
      ...FIREFOX,
      id: 'long',
      program: LONG_AGENT,
      system: 'Windows',
      address: '2001:db8:85a3:8d3:1319:8a2e:370:7348',
      isThis: false,
    },
    { ...FIREFOX, id: 'script', program: SCRIPT, system: undefined, address: undefined, isThis: false },
  ],
  remembered: [
    { ...FIREFOX, id: 'phone', program: 'Safari', system: 'iOS', isThis: false, rememberedUntil: at(12, 12) },
    {
      ...FIREFOX,
      id: 'rtl',
      program: RIGHT_TO_LEFT,
      system: undefined,
      isThis: false,
      rememberedUntil: at(12, 13),
    },
  ],
  devices: [
    {
      id: 'tv',
      name: 'Harbour TV',
      since: at(11, 5),
      usedAt: at(11, 24),
      may: [ours('openid')],
      approvedIn: { program: 'Firefox', system: 'Linux' },
      approvedFrom: '203.0.113.9',
    },
    {
      id: 'shell',
      name: LONG_NAME,
      since: at(9, 5),
      usedAt: undefined,
      may: [],
      approvedIn: { program: LONG_AGENT, system: undefined },
      approvedFrom: undefined,
    },
  ],
  deviceCount: 51,
  apps: [
    HARBOUR,
    {
      ...HARBOUR,
      id: 'rtl',
      name: RIGHT_TO_LEFT,
      host: 'נמל.example',
      may: ['קריאה', 'ships:read'].map(theirs),
    },
    {
      ...HARBOUR,
      id: 'many',
      name: LONG_NAME,
      host: `${'very-long-label-of-a-host.'.repeat(4)}example`,
      may: [
        ...HARBOUR.may,
        ...Array.from({ length: 24 }, (_, index) => theirs(`harbour.berths.${index}:manage`)),
        theirs(SCRIPT),
      ],
    },
    { ...HARBOUR, id: 'script', name: SCRIPT, host: undefined, may: [] },
    { ...HARBOUR, id: 'house', name: 'House App', isFirstParty: true },
  ],
}
const CONFIRM: Pages['account-confirm'] = {
  csrf: 'token',
  username: 'ada',
  action: '/account/end',
  fields: [
    { name: 'what', value: 'browser' },
    { name: 'id', value: `"><b>${SCRIPT}` },
  ],
  error: undefined,
}
const PASSWORD: Pages['account-password'] = {
  csrf: 'token',
  username: 'ada',
  error: undefined,
  rule: undefined,
}
const LOGIN: Pages['login'] = {
  csrf: 'token',
  clientName: undefined,
  username: '',
  remember: 'offered',
  notice: undefined,
  error: undefined,
  offers: { reset: '/account/reset', register: '/account/register' },
}
const ERROR: Pages['error'] = {
  status: 400,
  kind: 'expired',
  code: 'session_not_found',
  detail: undefined,
  requestId: '0192f0c1-7a1b-7c3d-9e4f-5a6b7c8d9e0f',
  retryUrl: undefined,
  app: undefined,
}
const RULE = { code: 'too-short', least: 15, length: 8 } as const

const SAMPLES: Record<string, Sample> = {
  'sample-account': { name: 'account', values: RICH },
  'sample-account-empty': { name: 'account', values: { ...ACCOUNT, browsers: [], email: undefined } },
  'sample-account-password-done': { name: 'account', values: { ...ACCOUNT, done: 'password' } },
  'sample-confirm': { name: 'account-confirm', values: { ...CONFIRM, username: RIGHT_TO_LEFT } },
  'sample-confirm-long': {
    name: 'account-confirm',
    values: { ...CONFIRM, username: LONG_NAME, error: 'rejected' },
  },
  'sample-confirm-busy': { name: 'account-confirm', values: { ...CONFIRM, error: 'busy' } },
  'sample-confirm-invalid': { name: 'account-confirm', values: { ...CONFIRM, error: 'invalid' } },
  'sample-password': { name: 'account-password', values: { ...PASSWORD, username: SCRIPT } },
  'sample-password-rejected': { name: 'account-password', values: { ...PASSWORD, error: 'rejected' } },
  'sample-password-busy': { name: 'account-password', values: { ...PASSWORD, error: 'busy' } },
  'sample-password-rule': { name: 'account-password', values: { ...PASSWORD, error: 'rule', rule: RULE } },
  'sample-login-ended': {
    name: 'login',
    values: { ...LOGIN, notice: 'session-ended', clientName: LONG_NAME },
  },
  'sample-login-again': {
    name: 'login',
    values: { ...LOGIN, notice: 'session-ended', remember: 'ticked', username: RIGHT_TO_LEFT, error: 'full' },
  },
  'sample-error-retry': { name: 'error', values: { ...ERROR, retryUrl: '/authorize?client_id=harbour' } },
  'sample-error-app': {
    name: 'error',
    values: { ...ERROR, app: { name: LONG_NAME, uri: 'https://harbour.example/' } },
  },
  'sample-error-app-hostile': {
    name: 'error',
    values: { ...ERROR, detail: SCRIPT, app: { name: SCRIPT, uri: 'javascript:alert(1)//https://' } },
  },
  'sample-home': { name: 'home', values: { discoveryUrl: '/.well-known/openid-configuration' } },
}

let browser: TestBrowser
let server: PageServer
let tab: Tab
let page: Page

beforeAll(async () => {
  ;[server, browser] = await Promise.all([startPageServer(SAMPLES), launchBrowser()])
})
afterAll(async () => {
  await browser?.close()
  await server?.close()
})
beforeEach(async () => {
  tab = await browser.open()
  page = tab.page
})
afterEach(() => tab.close())

const open = (name: string) => page.goto(`${server.origin}/${name}`)
const buttons = () => page.getByRole('button')

test.for(Object.keys(SAMPLES))(
  '%s fits, harms nobody’s reading, and Tab goes through it as it is read',
  async (name) => {
    await open(name)
    expect(await findTabStops(page)).toEqual(await findControls(page))
    await expectGoodPage(tab, name, [server.origin])
    expect(await page.title()).not.toContain('harmed')
    expect(await page.locator('img').count()).toBe(0)
  },
)

describe('the account page', () => {
  beforeEach(async () => {
    await open('sample-account')
  })

  test('names what each button ends', async () => {
    const names = await buttons().evaluateAll((all) => all.map(({ textContent }) => textContent))
    expect(names).toEqual([
      'Sign out of this browser',
      `End ${LONG_AGENT} on Windows`,
      `End ${SCRIPT}`,
      'Forget Safari on iOS',
      `Forget ${RIGHT_TO_LEFT}`,
      'End Harbour TV',
      `End ${LONG_NAME}`,
      'End Harbour Dashboard',
      `End ${RIGHT_TO_LEFT}`,
      `End ${LONG_NAME}`,
      `End ${SCRIPT}`,
      'End House App',
      'Sign out everywhere',
    ])
  })

  test('sends which one it is', async () => {
    const sent = await page.evaluate<string[]>(
      `[...document.forms].map((form) => form.action.slice(location.origin.length) + '?' + new URLSearchParams(new FormData(form)))`,
    )
    expect(sent[0]).toBe('/account/end?csrf=token&what=browser&id=this')
    expect(sent[3]).toBe('/account/end?csrf=token&what=remembered&id=phone')
    expect(sent[5]).toBe('/account/end?csrf=token&what=device&id=tv')
    expect(sent[7]).toBe('/account/end?csrf=token&what=app&id=harbour')
    expect(sent.at(-1)).toBe('/account/sign-out-everywhere?csrf=token')
  })

  test('says when, for people and for programs', async () => {
    const since = page.locator('[aria-labelledby=browsers] time').first()
    expect(await since.textContent()).toBe('3 Nov 2026, 09:12 UTC')
    expect(await since.getAttribute('datetime')).toBe('2026-11-03T09:12:34.000Z')
  })
})

test('a page that is over leads on: to the start of the request, or to the app over http alone', async () => {
  const links = () =>
    page.getByRole('link').evaluateAll((all) => all.map((link) => link.getAttribute('href')))
  await open('sample-error-retry')
  expect(await links()).toEqual(['/authorize?client_id=harbour'])
  await open('sample-error-app')
  expect(await links()).toEqual(['https://harbour.example/'])
  await open('sample-error-app-hostile')
  expect(await links()).toEqual([])
})

test('a proof of who it is sends on what was asked for, character by character', async () => {
  await open('sample-confirm')
  for (const { name, value } of CONFIRM.fields)
    expect(await page.locator(`input[type=hidden][name=${name}]`).inputValue()).toBe(value)
})

test('a new password that is too short is not sent, and a long one is not cut', async () => {
  await open('sample-password')
  const password = page.getByLabel('New password')
  const isInvalid = () =>
    page.evaluate<boolean>(`document.querySelector('#new-password').matches(':invalid')`)
  await password.fill('x'.repeat(14))
  expect(await isInvalid()).toBe(true)
  await password.fill('x'.repeat(1100))
  expect(await isInvalid()).toBe(false)
  expect(await password.inputValue()).toHaveLength(1100)
})

/** Where Tab stops from the top of the page to its end, by number. */
async function findTabStops(page: Page): Promise<number[]> {
  // A field that is to have the focus takes it at the first drawing, which may be after the page has loaded.
  await page.waitForFunction(`document.querySelector('[autofocus]:not(:focus)') === null`)
  // A click beside everything: from there Tab starts at the top, whatever had the focus.
  await page.mouse.click(2, 2)
  const stops: number[] = []
  for (;;) {
    await page.keyboard.press('Tab')
    const stop = await page.evaluate<number>(`${CONTROLS}.indexOf(document.activeElement)`)
    if (stop === -1 || stops.includes(stop)) return stops
    stops.push(stop)
  }
}

/** The controls in the order in which they are seen: by rows, then along the row. */
async function findControls(page: Page): Promise<number[]> {
  return await page.evaluate<number[]>(`${CONTROLS}
    .map((control, number) => ({ number, box: control.getBoundingClientRect() }))
    .sort((a, b) => a.box.bottom <= b.box.top ? -1 : b.box.bottom <= a.box.top ? 1 : a.box.left - b.box.left)
    .map(({ number }) => number)`)
}

const CONTROLS = `[...document.querySelectorAll('a, button, input:not([type=hidden], [hidden])')]`
