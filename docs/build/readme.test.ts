import { expect, test } from 'vitest'
import { linksOf, readPages } from './markdown.ts'

const MOST_LINES = 150

const pages = readPages()
const readme = pages.find(({ path }) => path === 'README.md')

test('keeps README at 150 lines: everything else has a page in docs/', () => {
  expect(readme?.text.trimEnd().split('\n').length).toBeLessThanOrEqual(MOST_LINES)
})

test('links every page of docs/ from README', () => {
  const links = readme ? linksOf(readme) : []
  const inDocs = pages.map(({ path }) => path).filter((path) => path.startsWith('docs/'))
  expect(inDocs.filter((path) => path !== 'docs/README.md' && !links.includes(path))).toEqual([])
})
