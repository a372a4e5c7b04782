import { expect, test } from 'vitest'
import { formatNumber, formatTable } from './table.ts'

test('numbers have three digits', () => {
  expect([12345.6, 123.4, 12.34, 1.234, 0.1234, 0, undefined, Number.NaN].map(formatNumber)).toEqual([
    ...['12346', '123', '12.3', '1.23', '0.12', '0', 'n/a', 'n/a'],
  ])
})

test('text stands to the left, numbers to the right', () => {
  const rows = [
    ['name', 'n'],
    ['a', '10'],
  ]
  expect(formatTable(rows, { textColumns: 1 })).toBe('name   n\na     10')
})
