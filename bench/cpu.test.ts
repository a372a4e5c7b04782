import { expect, test } from 'vitest'
import { parseStat } from './cpu.ts'

test('parses a process name with spaces and parentheses (proc_pid_stat(5))', () => {
  const fields = ['S', 41, ...Array(9).fill(0), 250, 50, 100, 20].join(' ')
  expect(parseStat(`42 (a) b (c)) ${fields} 20 0 1`)).toEqual({ parent: 41, own: 3, ofEndedChildren: 1.2 })
})
