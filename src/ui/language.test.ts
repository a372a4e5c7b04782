import { expect, test } from 'vitest'
import { parseAcceptLanguage, parseUiLocales } from './language.ts'

test.each([
  ['fr-CH, fr;q=0.9, en;q=0.8, *;q=0.5', ['fr-CH', 'fr', 'en']],
  ['en;q=0.2,de;q=0.7', ['de', 'en']],
  ['de;q=0, en', ['en']],
  ['', []],
  ['*', []],
  ['de-u-ca-buddhist', ['de']],
  ['<script>, de', ['de']],
  ['de;q=x, en;q=1', ['en']],
  [`${'x'.repeat(600)}, de`, []],
])('Accept-Language %j prefers %j (RFC 9110 §12.5.4)', (header, expected) => {
  expect(parseAcceptLanguage(header)).toEqual(expected)
})

test.each([
  ['fr-CA fr en', ['fr-CA', 'fr', 'en']],
  ['  de ', ['de']],
  [['de', 'fr'], []],
  [undefined, []],
  ['../../etc/passwd de', ['de']],
])('ui_locales %j prefers %j (OIDC Core §3.1.2.1)', (value, expected) => {
  expect(parseUiLocales(value)).toEqual(expected)
})
