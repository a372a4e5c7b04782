import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { launchBrowser, type Tab, type TestBrowser } from '../support/browser.ts'
import { expectGoodPage } from '../support/page-checks.ts'
import { CONFIRM, LONG_AGENT, LONG_NAME, RIGHT_TO_LEFT, SAMPLES, SCRIPT } from '../support/page-samples.ts'
import { type PageServer, startPageServer } from '../support/page-server.ts'

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
  '%s fits, is accessible, and has a tab order equal to its reading order',
  async (name) => {
    await open(name)
    // Enter in a check box presses the first button of the consent page, which is not the first visible one.
    if (SAMPLES[name]?.name !== 'consent') expect(await findTabStops(page)).toEqual(await findControls(page))
    await expectGoodPage(tab, name, [server.origin])
    expect(await page.title()).not.toContain('harmed')
    expect(await page.locator('img').count()).toBe(0)
  },
)

describe('the account page', () => {
  beforeEach(async () => {
    await open('sample-account')
  })

  test('names for each button the access that it revokes', async () => {
    const names = await buttons().evaluateAll((all) => all.map(({ textContent }) => textContent))
    expect(names).toEqual([
      'Sign out of this browser',
      `Sign out ${LONG_AGENT} on Windows`,
      `Sign out ${SCRIPT}`,
      'Forget Safari on iOS',
      `Forget ${RIGHT_TO_LEFT}`,
      'Disconnect Harbour TV',
      `Disconnect ${LONG_NAME}`,
      'Disconnect Harbour Dashboard',
      `Disconnect ${RIGHT_TO_LEFT}`,
      `Disconnect ${LONG_NAME}`,
      `Disconnect ${SCRIPT}`,
      'Disconnect House App',
      'Send a link to confirm it',
      'Sign out everywhere',
    ])
  })

  test('submits the identifier of the chosen row', async () => {
    const sent = await page.evaluate<string[]>(
      `[...document.forms].map((form) => form.action.slice(location.origin.length) + '?' + new URLSearchParams(new FormData(form)))`,
    )
    expect(sent[0]).toBe('/account/end?csrf=token&what=browser&id=this')
    expect(sent[3]).toBe('/account/end?csrf=token&what=remembered&id=phone')
    expect(sent[5]).toBe('/account/end?csrf=token&what=device&id=tv')
    expect(sent[7]).toBe('/account/end?csrf=token&what=app&id=harbour')
    expect(sent.at(-1)).toBe('/account/sign-out-everywhere?csrf=token')
  })

  test('shows each time as text and as a machine-readable value', async () => {
    const since = page.locator('[aria-labelledby=browsers] time').first()
    expect(await since.textContent()).toBe('3 Nov 2026, 09:12 UTC')
    expect(await since.getAttribute('datetime')).toBe('2026-11-03T09:12:34.000Z')
  })
})

test('the page of an expired interaction links to the start of the request, or to the app by http(s) alone', async () => {
  const links = () =>
    page.getByRole('link').evaluateAll((all) => all.map((link) => link.getAttribute('href')))
  await open('sample-error-retry')
  expect(await links()).toEqual(['/authorize?client_id=harbour'])
  await open('sample-error-app')
  expect(await links()).toEqual(['https://harbour.example/'])
  await open('sample-error-app-hostile')
  expect(await links()).toEqual([])
})

test('the password page submits the requested action unchanged', async () => {
  await open('sample-confirm')
  for (const { name, value } of CONFIRM.fields)
    expect(await page.locator(`input[type=hidden][name=${name}]`).inputValue()).toBe(value)
})

test('the form does not send a new password that is too short, and does not truncate a long one', async () => {
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

/** The controls in tab order, by number. */
async function findTabStops(page: Page): Promise<number[]> {
  // Autofocus happens at the first rendering, which may follow the load event.
  await page.waitForFunction(`document.querySelector('[autofocus]:not(:focus)') === null`)
  // A click beside all controls makes Tab start at the top.
  await page.mouse.click(2, 2)
  const stops: number[] = []
  for (;;) {
    await page.keyboard.press('Tab')
    const stop = await page.evaluate<number>(`${CONTROLS}.indexOf(document.activeElement)`)
    if (stop === -1 || stops.includes(stop)) return stops
    stops.push(stop)
  }
}

/** The controls in reading order: by rows, then along each row. */
async function findControls(page: Page): Promise<number[]> {
  return await page.evaluate<number[]>(`${CONTROLS}
    .map((control, number) => ({ number, box: control.getBoundingClientRect() }))
    .sort((a, b) => a.box.bottom <= b.box.top ? -1 : b.box.bottom <= a.box.top ? 1 : a.box.left - b.box.left)
    .map(({ number }) => number)`)
}

const CONTROLS = `[...document.querySelectorAll('a, button, input:not([type=hidden], [hidden])')]`
