import { expect, test } from 'vitest'
import { toPrintable } from './printable.ts'

test('escapes control characters of the terminal (CWE-150)', () => {
  expect(toPrintable('a\u001b[2Jb\u009b31mc\rd\u007f')).toBe('a\\u001b[2Jb\\u009b31mc\\u000dd\\u007f')
})

test('escapes marks that reorder or hide text (CWE-1007)', () => {
  expect(toPrintable('eve\u202egnp\u2028\u{e0041}')).toBe('eve\\u202egnp\\u2028\\udb40\\udc41')
})

test('keeps letters of every script', () => {
  expect(toPrintable('Ünï 名前 🦊')).toBe('Ünï 名前 🦊')
})

test('keeps JSON equal after parsing', () => {
  const document = { name: 'x\u009b\u202e\u{e0041}', list: [1] }
  const text = toPrintable(JSON.stringify(document, null, 2), { keepLineEnds: true })
  expect(JSON.parse(text)).toEqual(document)
  expect(text).toContain('\n')
})
