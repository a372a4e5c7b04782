import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createMetrics } from '../../src/metrics.ts'
import { LIMITS } from '../../src/rate-limiting/limits.ts'
import { inlineCodeOf, ROOT, readPages } from './markdown.ts'

const pages = new Map(readPages().map((page) => [page.path, page]))
const source = readSource('src').join('\n')
/** Messages of other programs, which the page explains too. */
const OTHER_MESSAGES = ['unsupported startup parameter', 'permission denied']

test('quotes only messages that the source has (troubleshooting)', () => {
  const [text = ''] = textOf('docs/operations/troubleshooting.md').split('## Errors that clients get')
  const messages = [...text.matchAll(/^\| `([^`]+)`/gm)].map(([, message = '']) => message)
  expect(messages.length).toBeGreaterThan(40)
  const unknown = messages.filter((message) => !OTHER_MESSAGES.includes(message) && !isInSource(message))
  expect(unknown).toEqual([])
})

test('quotes only pages that exist (troubleshooting, locked out)', () => {
  const messages = readFileSync(join(ROOT, 'interactions/locales/en.json'), 'utf8')
  const quoted = ['docs/operations/troubleshooting.md', 'docs/operations/lock-out.md'].flatMap((path) =>
    [...textOf(path).matchAll(/^\| "([^"]+)"/gm)].map(([, message = '']) => message),
  )
  expect(quoted.length).toBeGreaterThan(8)
  expect(quoted.filter((message) => !messages.includes(message))).toEqual([])
})

test('lists every metric, and no other (monitoring)', async () => {
  const rendered = await createMetrics().render()
  const named = [...rendered.matchAll(/^# TYPE (\w+)/gm)].map(([, name = '']) => name)
  const listed = [
    ...textOf('docs/operations/monitoring.md').matchAll(/^\| `(sallyport_\w+)` \| (?:gauge|counter)/gm),
  ]
  expect(listed.map(([, name]) => name).toSorted()).toEqual(named.toSorted())
  const mentioned = [...pages.values()].flatMap((page) =>
    inlineCodeOf(page).flatMap(
      (code) => /^sallyport_(?!server$|owner$|restored$|public$)\w+/.exec(code)?.[0] ?? [],
    ),
  )
  expect(mentioned.filter((name) => !named.includes(name))).toEqual([])
})

test('lists every event of the log (monitoring)', () => {
  const logged = [...source.matchAll(/\bevent: '([\w.]+)'/g)].map(([, event = '']) => event)
  const listed = inlineCodeOf({ path: '', text: textOf('docs/operations/monitoring.md') })
  expect([...new Set(logged)].filter((event) => !listed.includes(event))).toEqual([])
})

test('has every rate limit with its numbers (security)', () => {
  const listed = [
    ...textOf('docs/security.md').matchAll(/^\| `([\w.]+)` \| ([\d,]+) in ([\d,]+) s \|/gm),
  ].map(([, ...row]) => row.join(' ').replaceAll(',', ''))
  const limits = Object.values(LIMITS).map(({ name, most, windowSeconds }) =>
    [name, most, windowSeconds].join(' '),
  )
  expect(listed).toEqual(limits)
})

function textOf(path: string): string {
  return pages.get(path)?.text ?? ''
}

/** Whether the source contains the parts of a message; a gap between them is an expression. */
function isInSource(message: string): boolean {
  const parts = message.split(/…|\(make it with/).map((part) => part.trim())
  return parts.every((part) => part.length < 4 || source.includes(part))
}

function readSource(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(ts|js)$/.test(path) && !path.endsWith('.test.ts'))
    .map((path) => readFileSync(join(ROOT, folder, path), 'utf8'))
}
