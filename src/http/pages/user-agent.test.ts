import { expect, test } from 'vitest'
import { describeUserAgent } from './user-agent.ts'

test.each([
  ['Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0', 'Firefox on Linux'],
  ['Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 Chrome/76.0', 'Tizen'],
  ['curl/8.5.0', 'curl/8.5.0'],
  ['', 'An unknown browser'],
])('%s reads %s', (userAgent, words) => {
  expect(describeUserAgent(userAgent)).toBe(words)
})
