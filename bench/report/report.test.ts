import { expect, test } from 'vitest'
import { formatNumber, formatReport, formatTable, judge } from './report.ts'

test('shows counts in full, and three significant digits of other values', () => {
  expect([12345, 12345.6, 123.4, 12.34, 1.234, 0.1234, 0, undefined, Number.NaN].map(formatNumber)).toEqual([
    ...['12345', '12346', '123', '12.3', '1.23', '0.12', '0', 'n/a', 'n/a'],
  ])
})

test('aligns text to the left and numbers to the right', () => {
  const rows = [
    ['', 'load', 'n'],
    ['one', 'a', '10'],
    ['', 'b', '5'],
  ]
  expect(formatTable(rows)).toBe('     load   n\none  a     10\n     b      5')
})

test('prints rows with different figures, targets and wrong answers', () => {
  const target = { subject: 'refresh', metric: 'requests/s', bound: 'at least', limit: 10 } as const
  const text = formatReport({
    rows: [
      ['refresh', 'engine', { 'req/s': 1, 'p99 ms': undefined }],
      ['clean-up', '', { rows: 5 }],
    ],
    targets: [
      judge({ ...target, value: 1 }),
      judge({ ...target, value: 10 }),
      judge({ ...target, value: undefined }),
    ],
    faults: ['refresh, engine: 500'],
  })
  expect(text.split('\n')).toEqual([
    '                  req/s  p99 ms  rows',
    'refresh   engine      1     n/a',
    'clean-up                            5',
    'INVALID refresh, engine: 500',
    '',
    'MISSED   refresh: requests/s 1, at least 10',
    'met      refresh: requests/s 10, at least 10',
    'unknown  refresh: requests/s n/a, at least 10',
  ])
})
