import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { GENERATED_PAGES } from './generated-pages.ts'
import { ROOT } from './markdown.ts'

test.for(Object.entries(GENERATED_PAGES))('keeps %s as its source says (npm run docs)', ([path, draw]) => {
  expect(readFileSync(join(ROOT, path), 'utf8')).toBe(draw())
})
