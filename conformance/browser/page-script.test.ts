import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { launchBrowser, type Tab, type TestBrowser } from '../support/browser.ts'
import { SAMPLES } from '../support/page-samples.ts'
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
const typeOf = () => page.locator('#password').getAttribute('type')

test('a button shows and hides the password; its label is in the language of the page', async () => {
  await open('sample-login?ui_locales=de')
  const reveal = page.getByRole('button', { name: 'Passwort anzeigen' })
  expect(await reveal.getAttribute('aria-pressed')).toBe('false')
  await page.locator('#password').fill('geheim')
  await reveal.click()
  expect([await typeOf(), await reveal.getAttribute('aria-pressed')]).toEqual(['text', 'true'])
  expect(await page.evaluate(`document.activeElement.id`)).toBe('password')
  await reveal.press('Space')
  expect([await typeOf(), await reveal.getAttribute('aria-pressed')]).toEqual(['password', 'false'])
  expect(await page.locator('#password').inputValue()).toBe('geheim')
  expect(tab.consoleErrors).toEqual([])
})

test('a password that is shown is hidden again before it is sent', async () => {
  await open('sample-login')
  await page.locator('#username').fill('ada')
  await page.locator('#password').fill('secret')
  await page.getByRole('button', { name: 'Show password' }).click()
  await page.evaluate(`document.forms[0].addEventListener('submit', (event) => event.preventDefault())`)
  await page.locator('#password').press('Enter')
  expect(await typeOf()).toBe('password')
})

test('a double click on the button sends the form once', async () => {
  await open('sample-login')
  await page.locator('#username').fill('ada')
  await page.locator('#password').fill('secret')
  await page.evaluate(`document.forms[0].addEventListener('submit', (event) => {
    if (!event.defaultPrevented) document.title += ' sent'
    event.preventDefault()
  })`)
  await page.locator('button.go').dblclick()
  expect(await page.title()).toMatch(/^(?!.*sent.*sent).* sent$/)
})

test('a notice shows while Caps Lock is on, and nothing on the page moves', async () => {
  await open('sample-login')
  const places = () =>
    page.evaluate(`JSON.stringify([...document.querySelectorAll('.card *')].filter((e) => e.className !== 'caps')
      .map((e) => e.getBoundingClientRect()))`)
  const press = (isOn: boolean) =>
    page.evaluate(`document.querySelector('#password').dispatchEvent(
      new KeyboardEvent('keydown', { key: 'a', modifierCapsLock: ${isOn}, bubbles: true }))`)
  const hint = page.locator('.caps')
  const before = await places()
  await press(true)
  expect(await hint.textContent()).toBe('Caps Lock is on')
  expect(await hint.getAttribute('aria-live')).toBe('polite')
  expect(await places()).toBe(before)
  await press(false)
  expect(await hint.textContent()).toBe('')
})

test('nothing moves while a page loads', async () => {
  await page.addInitScript(`new PerformanceObserver((list) => {
    for (const { value } of list.getEntries()) globalThis.shifted = (globalThis.shifted ?? 0) + value
  }).observe({ type: 'layout-shift', buffered: true })`)
  for (const name of [
    'sample-login',
    'sample-login-rejected',
    'sample-password',
    'sample-register',
    'sample-account',
  ]) {
    await open(name)
    await page.waitForTimeout(100)
    expect(await page.evaluate(`globalThis.shifted ?? 0`), name).toBe(0)
  }
})

test('without scripts no control is without effect, and every form works', async () => {
  const plain = await browser.open({ javaScriptEnabled: false })
  await plain.page.goto(`${server.origin}/sample-login`)
  expect(await plain.page.getByRole('button').allTextContents()).toEqual(['Sign in'])
  await plain.close()
})

test('with forced colours, errors and the main button stand out by shape', async () => {
  await page.emulateMedia({ forcedColors: 'active' })
  await open('sample-register')
  const styleOf = (selector: string, property: string) =>
    page.evaluate<string>(`getComputedStyle(document.querySelector('${selector}')).${property}`)
  expect(await styleOf('.notice', 'borderTopWidth')).toBe('1px')
  expect(await styleOf('input[aria-invalid=true]', 'borderTopWidth')).toBe('3px')
  expect(await styleOf('.go', 'backgroundColor')).not.toBe(await styleOf('.card', 'backgroundColor'))
})

test('pasted passwords are accepted', async () => {
  await open('sample-login')
  await page.locator('#password').focus()
  await page.evaluate(`document.execCommand('insertText', false, 'velvet kettle harbor nineteen')`)
  expect(await page.locator('#password').inputValue()).toBe('velvet kettle harbor nineteen')
  const prevented = await page.evaluate(`!document.querySelector('#password').dispatchEvent(
    new ClipboardEvent('paste', { cancelable: true, bubbles: true }))`)
  expect(prevented).toBe(false)
})

test('an injected script does not run (CSP 3 nonce)', async () => {
  await open('sample-login')
  const ran = await page.evaluate(`(() => {
    for (const text of ['globalThis.ran = 1', '']) {
      const script = document.createElement('script')
      if (text) script.textContent = text
      else script.src = '/assets/page.js'
      document.body.append(script)
    }
    return globalThis.ran ?? 0
  })()`)
  expect(ran).toBe(0)
  expect(
    tab.consoleErrors.filter((message) => message.includes('Content Security Policy')).length,
  ).toBeGreaterThan(0)
})
