import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { configurationTable } from './config.ts'

test('the configuration table in README is the one that the settings make', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  expect(readme).toContain(configurationTable())
})
