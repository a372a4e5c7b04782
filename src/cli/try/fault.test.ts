import { AuthorizationResponseError, ClientError } from 'openid-client'
import { expect, test } from 'vitest'
import { UsageError } from '../output/terminal.ts'
import { explainFault } from './fault.ts'

const going = new AbortController().signal

test('an error response is told with its description, defused', () => {
  const cause = new URLSearchParams({ error: 'access_denied', error_description: 'no\u001b[2J' })
  const fault = explainFault(new AuthorizationResponseError('refused', { cause }), going)
  expect(String(fault)).toBe('Error: The server refused: access_denied (no\\u001b[2J)')
})

test('a server that is away is told as such, by its code', () => {
  const cause = Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' })
  const fault = explainFault(new TypeError('fetch failed', { cause }), going)
  expect(String(fault)).toBe('Error: The server does not answer: ECONNREFUSED')
})

test('the reason under openid-client’s own words is told', () => {
  const cause = new Error('response parameter "iss" (issuer) missing')
  expect(String(explainFault(new ClientError('invalid response encountered', { cause }), going))).toBe(
    'Error: invalid response encountered: response parameter "iss" (issuer) missing',
  )
})

test('wrong usage and faults of this program pass unchanged', () => {
  for (const error of [new UsageError('x'), new TypeError('x is not a function')])
    expect(explainFault(error, going)).toBe(error)
})

test('after a stop its echoes are not told', () => {
  expect(String(explainFault(new Error('operation aborted'), AbortSignal.abort()))).toBe('Error: Stopped.')
})
