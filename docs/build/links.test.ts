import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { anchorsOf, linksOf, ROOT, readPages } from './markdown.ts'

const pages = readPages()
const EXTERNAL = /^[a-z]+:/

test('keeps every relative link and anchor of every page', () => {
  const broken = pages.flatMap((page) =>
    linksOf(page)
      .filter((link) => !EXTERNAL.test(link))
      .filter((link) => !isReachable(page.path, link))
      .map((link) => `${page.path}: ${link}`),
  )
  expect(broken).toEqual([])
})

test('links every page under docs/ from another page', () => {
  const linked = new Set(
    pages.flatMap((page) =>
      linksOf(page)
        .filter((link) => !EXTERNAL.test(link))
        .map((link) => targetOf(page.path, link).path),
    ),
  )
  const orphans = pages.filter(
    ({ path }) => path.startsWith('docs/') && path !== 'docs/README.md' && !linked.has(path),
  )
  expect(orphans.map(({ path }) => path)).toEqual([])
})

function isReachable(from: string, link: string): boolean {
  const { path, anchor } = targetOf(from, link)
  if (!existsSync(join(ROOT, path))) return false
  if (anchor === undefined) return true
  const page = pages.find((other) => other.path === path)
  return page !== undefined && anchorsOf(page).includes(anchor)
}

function targetOf(from: string, link: string): { path: string; anchor: string | undefined } {
  const [file = '', anchor] = link.split('#')
  return { path: file === '' ? from : normalize(join(dirname(from), file)), anchor }
}
