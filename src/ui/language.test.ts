import { expect, test } from 'vitest'
import { chooseLanguage } from './language.ts'

test.each([
  [['fr-CA', 'de'], 'fr'],
  [['tlh', 'de'], 'de'],
  [['de-u-ca-buddhist'], 'de'],
  [['*'], 'en'],
  [[], 'en'],
  [['<script>', '../../etc/passwd', '', 'de'], 'de'],
  [['x'.repeat(600), 'de'], 'de'],
  [[...Array(20).fill('tlh'), 'de'], 'en'],
])('for a reader who prefers %j, returns %s', (preferred, language) => {
  expect(chooseLanguage(preferred, ['en', 'de', 'fr'], 'en')).toBe(language)
})
