import { AuthorizationResponseError, ClientError } from 'openid-client'
import { expect, test } from 'vitest'
import { UsageError } from '../output/terminal.ts'
import { explainFault } from './fault.ts'

const running = new AbortController().signal

test('reports an error response with its description, escaped', () => {
  const cause = new URLSearchParams({ error: 'access_denied', error_description: 'no\u001b[2J' })
  const fault = explainFault(new AuthorizationResponseError('refused', { cause }), running)
  expect(String(fault)).toBe('Error: The server refused: access_denied (no\\u001b[2J)')
})

test('reports a server that does not answer, with the error code', () => {
  const cause = Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' })
  const fault = explainFault(new TypeError('fetch failed', { cause }), running)
  expect(String(fault)).toBe('Error: The server does not answer: ECONNREFUSED')
})

test('reports the cause of an error of openid-client', () => {
  const cause = new Error('response parameter "iss" (issuer) missing')
  expect(String(explainFault(new ClientError('invalid response encountered', { cause }), running))).toBe(
    'Error: invalid response encountered: response parameter "iss" (issuer) missing',
  )
})

test('returns wrong usage and faults of this program unchanged', () => {
  for (const error of [new UsageError('x'), new TypeError('x is not a function')])
    expect(explainFault(error, running)).toBe(error)
})

test('reports only the stop after an abort', () => {
  expect(String(explainFault(new Error('operation aborted'), AbortSignal.abort()))).toBe('Error: Stopped.')
})
