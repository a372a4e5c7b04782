import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { LIMITS } from './accounts/limits.ts'
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

test('the table of limits in README has every limit, with its number', () => {
  const rows = Object.values(LIMITS).map(({ name, most, windowSeconds }) =>
    [name, most, windowSeconds].join(' '),
  )
  const told = [...readme.matchAll(/^\| `([\w.]+)` \| ([\d,]+) in ([\d,]+) s \|/gm)].map(([, ...row]) =>
    row.join(' ').replaceAll(',', ''),
  )
  expect(told).toEqual(rows)
})
