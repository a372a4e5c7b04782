import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { launchBrowser, type Tab, type TestBrowser } from '../support/browser.ts'
import { PASSWORD, startTestServer, type TestServer } from '../support/harness.ts'

let browser: TestBrowser
let server: TestServer
let tab: Tab
let page: Page

beforeAll(async () => {
  ;[server, browser] = await Promise.all([startTestServer(), launchBrowser()])
  await server.admin.users.create({ username: 'ada', name: 'Ada Lovelace', password: PASSWORD })
})
afterAll(async () => {
  await browser?.close()
  await server?.remove()
})
beforeEach(async () => {
  tab = await browser.open({ viewport: { width: 320, height: 740 }, locale: 'de-DE' })
  page = tab.page
  await page.goto(`${server.issuer}/account`)
  await page.fill('input[name=username]', 'ada')
  await page.fill('input[name=password]', PASSWORD)
  await page.click('button.go')
  await page.waitForURL(`${server.issuer}/account`)
  await page.goto(`${server.issuer}/account/password`)
})
afterEach(async () => {
  expect(tab.consoleErrors).toEqual([])
  await tab.close()
})

const advice = () => page.locator('.advice')
const heightOfPage = () => page.evaluate('document.body.getBoundingClientRect().height')

test('a new password is checked while it is typed, in the page’s language, and nothing moves', async () => {
  const before = await heightOfPage()
  expect(await advice().getAttribute('aria-live')).toBe('polite')
  for (const [typed, words] of [
    ['kurz', /mindestens 15/],
    ['adalovelace1815!', /Name/],
    ['passwordpassword', /wiederholt/],
  ] as const) {
    await page.fill('#new-password', '')
    await page.locator('#new-password').pressSequentially(typed)
    await expect.poll(() => advice().textContent()).toMatch(words)
    expect(await heightOfPage()).toBe(before)
  }
  await page.locator('#new-password').pressSequentially(' und drei Boote')
  await expect.poll(() => advice().textContent()).toBe('')
})

test('a late answer is ignored when the text has changed since', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  await page.route('**/account/password/advice', async (route) => {
    if (new URLSearchParams(route.request().postData() ?? '').get('new_password') === 'kurz') await promise
    await route.continue().catch(() => {})
  })
  const requested = page.waitForRequest('**/account/password/advice')
  await page.locator('#new-password').pressSequentially('kurz')
  await requested
  await page.fill('#new-password', 'drei alte Boote am Meer')
  const answered = page.waitForResponse('**/account/password/advice')
  await answered
  resolve()
  await page.waitForTimeout(300)
  expect(await advice().textContent()).toBe('')
})

test('without scripts the hint stays, no space is reserved, and the form returns the same message', async () => {
  const plain = await browser.open({ javaScriptEnabled: false })
  await plain.page.context().addCookies(await page.context().cookies())
  await plain.page.goto(`${server.issuer}/account/password`)
  expect(await plain.page.textContent('#new-password-hint')).toContain('15')
  expect(await plain.page.locator('.advice').isVisible()).toBe(false)
  await plain.page.fill('#password', PASSWORD)
  await plain.page.fill('#new-password', 'adalovelace1815!')
  await plain.page.click('button.go')
  expect(await plain.page.textContent('#new-password-fault')).toContain('name')
  await plain.close()
})
