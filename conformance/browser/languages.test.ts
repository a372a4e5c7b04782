import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchBrowser, type Tab, type TestBrowser } from '../support/browser.ts'
import {
  BYTES_LOADED,
  DESKTOP,
  findAxeFaults,
  findLayoutFaults,
  MOST_BYTES,
  NARROWEST,
  takeScreenshot,
} from '../support/page-checks.ts'
import { SAMPLES } from '../support/page-samples.ts'
import { type PageServer, startPageServer } from '../support/page-server.ts'
import { createRightToLeftFolder } from '../support/right-to-left.ts'

/** All languages but English, which the other page tests cover. */
const LANGUAGES = { de: 'ltr', fr: 'ltr', es: 'ltr', ja: 'ltr', he: 'rtl' }
/** WCAG 2.2 §1.4.4: text twice as large, in a window as wide as half a desktop. */
const ZOOMED = { width: 640, height: 800 }

/** Samples that differ from another one in their values or in one sentence: one language suffices. */
const ALIKE = new Set([
  'sample-account-password-done',
  'sample-confirm',
  'sample-confirm-busy',
  'sample-confirm-invalid',
  'sample-password',
  'sample-password-busy',
  'sample-login-ended',
  'sample-login-rejected',
  'sample-consent',
  'sample-device-code',
  'sample-device-confirm',
  'sample-logout',
  'sample-error-retry',
  'sample-error-app-hostile',
])

const folder = createRightToLeftFolder()

/** All advice on a new password. */
function adviceIn(language: string): string[] {
  const inFolder = new URL(`../../interactions/locales/${language}.json`, import.meta.url)
  const file = language === 'he' ? `${folder}/locales/he.json` : inFolder
  const messages: Record<string, string> = JSON.parse(readFileSync(file, 'utf8'))
  return Object.entries(messages)
    .filter(([key]) => key.startsWith('password.fault.'))
    .map(([, message]) => message.replace(/\{\w+, number\}/g, '1,024'))
}

let browser: TestBrowser
let server: PageServer
let tab: Tab
let page: Page

beforeAll(async () => {
  ;[server, browser] = await Promise.all([
    startPageServer(SAMPLES, { settings: { TEMPLATES_DIR: folder } }),
    launchBrowser(),
  ])
  tab = await browser.open()
  page = tab.page
})
afterAll(async () => {
  await browser?.close()
  await server?.close()
  await rm(folder, { recursive: true })
})

test.each(['en', ...Object.keys(LANGUAGES)])(
  'in %s advice on a new password fits in the place of its hint at every width',
  async (language) => {
    await page.goto(`${server.origin}/sample-reset-password?ui_locales=${language}`)
    const advice = ['', ...adviceIn(language)]
    for (const width of [320, 360, 480, 481, 1280]) {
      await page.setViewportSize({ width, height: 740 })
      const heights = await page.evaluate<number[]>(`(() => {
        const advised = document.querySelector('.advised')
        return ${JSON.stringify(advice)}.map((words) => {
          advised.querySelector('.advice').textContent = words
          return advised.getBoundingClientRect().height
        })
      })()`)
      expect(new Set(heights).size, `${width}`).toBe(1)
    }
  },
)

describe.each(Object.entries(LANGUAGES))('in %s', (language, direction) => {
  test.for(Object.keys(SAMPLES).filter((name) => !ALIKE.has(name)))(
    '%s is accessible, narrow and wide, in light and dark, and with large text',
    async (name) => {
      await page.goto(`${server.origin}/${name}?ui_locales=${language}`)
      const html = page.locator('html')
      expect([await html.getAttribute('lang'), await html.getAttribute('dir')]).toEqual([language, direction])
      for (const [viewport, colorScheme, rules] of [
        [NARROWEST, 'light', undefined],
        [DESKTOP, 'dark', ['color-contrast', 'target-size']],
      ] as const) {
        await page.setViewportSize(viewport)
        await page.emulateMedia({ colorScheme })
        await takeScreenshot(page, `${language}-${name}-${viewport.width}`)
        expect(await findLayoutFaults(page), `${viewport.width}`).toEqual([])
        expect(await findAxeFaults(page, rules), colorScheme).toEqual([])
      }
      await page.setViewportSize(ZOOMED)
      await page.evaluate(`document.documentElement.style.fontSize = '200%'`)
      expect(await findLayoutFaults(page), 'zoomed').toEqual([])
      expect(await page.evaluate<number>(BYTES_LOADED)).toBeLessThan(MOST_BYTES)
      expect(tab.consoleErrors).toEqual([])
    },
  )
})
