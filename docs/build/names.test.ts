import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SETTINGS } from '../../src/config/settings.ts'
import { codeBlocksOf, inlineCodeOf, type Page, ROOT, readPages } from './markdown.ts'

/**
 * Variables that are not settings of the server: of Node, the container's database, tests and examples, and misspelt
 * ones.
 */
const OTHER_VARIABLES = new Set([
  'TRUSTED_PROXY',
  'SALLYPORT_PORT',
  'DB_URL',
  'ISSUER_FILE',
  'POSTGRES_URL',
  'NODE_EXTRA_CA_CERTS',
  'NODE_OPTIONS',
  'POSTGRES_PASSWORD',
  'POSTGRES_USER',
  'TEST_DATABASE_URL',
  'BENCH_DATABASE_URL',
  'FUZZ_SECONDS',
  'FUZZ_SEED',
  'CLIENT_SECRET',
])
/** Files that an operator or a test creates. */
const MADE_LATER = new Set(['docker/.env', 'conformance/screenshots'])
const SETTING_NAMES = new Set(
  Object.entries(SETTINGS).flatMap(([name, { secret }]) => (secret ? [name, `${name}_FILE`] : [name])),
)

/** CHANGELOG also names former settings and files. */
const pages = readPages().filter(({ path }) => path !== 'CHANGELOG.md')

test('names only settings that exist', () => {
  const unknown = pages.flatMap((page) =>
    codeOf(page)
      .flatMap((code) => [...code.matchAll(/(?<![\w$-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w-])/g)])
      .map(([name]) => name)
      .filter((name) => !SETTING_NAMES.has(name) && !OTHER_VARIABLES.has(name))
      .map((name) => `${page.path}: ${name}`),
  )
  expect(unknown).toEqual([])
})

test('names only npm scripts that exist', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const unknown = pages.flatMap((page) =>
    codeOf(page)
      .flatMap((code) => [...code.matchAll(/\bnpm run (?:--silent )?([\w:-]+)/g)])
      .map(([, name = '']) => name)
      .filter((name) => !Object.hasOwn(scripts, name))
      .map((name) => `${page.path}: ${name}`),
  )
  expect(unknown).toEqual([])
})

test('names only files and folders of the source that exist', () => {
  const unknown = pages.flatMap((page) =>
    inlineCodeOf(page)
      .filter((code) => /^(src|conformance|bench|docker|migrations|interactions)\/[\w./-]*$/.test(code))
      .map((code) => code.replace(/\/$/, ''))
      .filter((path) => !MADE_LATER.has(path) && !existsSync(join(ROOT, path)))
      .map((path) => `${page.path}: ${path}`),
  )
  expect(unknown).toEqual([])
})

/** Inline code and code blocks, except programs, whose constants are their own. */
function codeOf(page: Page): string[] {
  const blocks = codeBlocksOf(page).filter(({ info }) => info !== 'js' && info !== 'ts')
  return [...inlineCodeOf(page), ...blocks.map(({ text }) => text)]
}
