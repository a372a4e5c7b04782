import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { configurationTable } from './config.ts'
import { EVENT_TYPES } from './store/event-type.ts'

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

test('the configuration table in README is the one that the settings make', () => {
  expect(readme).toContain(configurationTable())
})

test('the table of events in README has every type, with its meaning', () => {
  const rows = Object.entries(EVENT_TYPES).map(([type, meaning]) => `| \`${type}\` | ${meaning} |`)
  expect(readme).toContain(['| Event | Meaning |', '|---|---|', ...rows].join('\n'))
})
