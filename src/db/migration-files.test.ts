import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { numberOf, readMigrationFiles } from './migration-files.ts'

/** The used numbers below 9; every database has run 0009, so the others must stay unused. */
const CLOSED_NUMBERS = [1, 2, 3, 4, 5]

const names = (await readMigrationFiles()).map(({ name }) => name)
const numbers = names.map((name) => numberOf(name) ?? 0)

test('migrations have increasing numbers, and 0006 to 0008 stay unused', () => {
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
  expect(numbers.filter((number) => number < 9)).toEqual(CLOSED_NUMBERS)
  for (const name of names) expect(name).toMatch(/^\d{4}_[a-z]+(_[a-z]+)*$/)
})

test('a migration says its name and its reason in the first line', () => {
  for (const name of names) {
    const [first = ''] = readFileSync(new URL(`../../migrations/${name}.sql`, import.meta.url), 'utf8').split(
      '\n',
    )
    expect(first).toMatch(new RegExp(`^-- ${name}\\.sql: .{20,}\\.$`))
  }
})

test('a migration that older versions cannot serve names its own number', async () => {
  for (const { name, statements } of await readMigrationFiles())
    for (const statement of statements) {
      const [, servedFrom] = /set served_from = (\d+)/.exec(statement) ?? []
      if (servedFrom !== undefined) expect(Number(servedFrom), name).toBe(numberOf(name))
    }
})
