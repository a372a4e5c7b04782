import { fileURLToPath } from 'node:url'
import { source as AXE } from 'axe-core'
import type { Page } from 'playwright-core'
import { expect } from 'vitest'
import type { Tab } from './browser.ts'

const PHONE = { width: 360, height: 740 }
export const DESKTOP = { width: 1280, height: 800 }
/** The viewport of a desktop at 400 % zoom (WCAG 2.2 §1.4.10). */
export const NARROWEST = { width: 320, height: 640 }
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
export const MOST_BYTES = 30_000
const SCREENSHOTS = fileURLToPath(new URL('../screenshots/', import.meta.url))

/**
 * Expects a page to fit phone and desktop in light and dark, to pass axe, to be small, and to load nothing from other
 * origins.
 *
 * @param name the name of the screenshots.
 * @param origins the origins that requests may go to, redirects included.
 */
export async function expectGoodPage(
  { page, consoleErrors, requested }: Tab,
  name: string,
  origins: string[],
) {
  await page.locator('footer').waitFor()
  for (const viewport of [PHONE, DESKTOP]) {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.setViewportSize(viewport)
      await page.emulateMedia({ colorScheme })
      const where = `${name}-${viewport.width}-${colorScheme}`
      await takeScreenshot(page, where)
      expect(await findLayoutFaults(page), where).toEqual([])
      expect(await findAxeFaults(page), where).toEqual([])
    }
  }
  await page.setViewportSize(NARROWEST)
  await page.emulateMedia({ colorScheme: 'light' })
  await takeScreenshot(page, `${name}-320-light`)
  expect(await findLayoutFaults(page), `${name}-320`).toEqual([])

  expect(consoleErrors).toEqual([])
  expect(requested.filter((url) => !origins.includes(new URL(url).origin))).toEqual([])
  expect(await page.locator('script:not([src^="/assets/page.js?v="])').count()).toBe(0)
  expect(await page.evaluate<number>(BYTES_LOADED)).toBeLessThan(MOST_BYTES)
}

/** Saves a screenshot when asked: `SCREENSHOTS=on npx vitest run --project browser`. */
export async function takeScreenshot(page: Page, name: string): Promise<void> {
  if (process.env.SCREENSHOTS === 'on')
    await page.screenshot({ path: `${SCREENSHOTS}${name}.png`, fullPage: true })
}

/** @param rules restricts the check, for a page that was checked before in other colours. */
export async function findAxeFaults(page: Page, rules?: readonly string[]): Promise<string[]> {
  // Half a megabyte: loaded once a page.
  if (!(await page.evaluate<boolean>(`'axe' in window`))) await page.evaluate(AXE)
  const runOnly = rules ? { type: 'rule', values: rules } : { type: 'tag', values: RULES }
  return await page.evaluate<string[]>(`axe.run(${JSON.stringify({ runOnly })}).then((found) =>
    [...found.violations, ...found.incomplete].flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ': ' + html)))`)
}

/** Finds layout faults: horizontal scrolling, targets below 44 px, text that phones zoom into. */
export const findLayoutFaults = (page: Page) =>
  page.evaluate<string[]>(`(() => {
    const all = (selector) => [...document.querySelectorAll(selector)]
    const faults = []
    const fail = (fault, element) => faults.push(fault + ': ' + element.outerHTML.slice(0, 100))
    if (document.documentElement.scrollWidth > innerWidth) fail('scrolls sideways', document.documentElement)
    for (const element of all('button, a.line, a.button, input:not([type=hidden], [type=checkbox], [hidden]), label.check')) {
      const { width, height } = element.getBoundingClientRect()
      if (width < 44 || height < 44) fail('small target', element)
    }
    for (const element of all('button, h1, h2, dt, dd, p, label'))
      if (element.scrollWidth > element.clientWidth + 1) fail('cut off', element)
    for (const element of all('input:not([type=hidden], [type=checkbox], [hidden])'))
      if (parseFloat(getComputedStyle(element).fontSize) < 16) fail('small text', element)
    return faults
  })()`)

/** The size of the page and its resources, cached ones included. */
export const BYTES_LOADED = `['navigation', 'resource']
  .flatMap((type) => performance.getEntriesByType(type))
  .reduce((bytes, { encodedBodySize }) => bytes + encodedBodySize, 0)`
