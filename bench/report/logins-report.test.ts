import { expect, test } from 'vitest'
import type { LoginsResult } from '../logins/result.ts'
import { drawLoginsChart, formatLoginsReport, judgeLogins } from './logins-report.ts'

const load = (p99Milliseconds: number) => {
  const pace = { requests: 1000, p50Milliseconds: 2, p99Milliseconds }
  return { token: pace, file: pace }
}
const result = (changed: Partial<LoginsResult> = {}): LoginsResult => ({
  people: 500,
  rate: 100,
  alone: load(10),
  beside: load(20),
  crowd: {
    accepted: 400,
    busy: 1200,
    throttled: 0,
    seconds: 10,
    acceptedP50Milliseconds: 1000,
    acceptedP99Milliseconds: 2000,
  },
  machinePasswordsPerSecond: 100,
  faults: 0,
  firstFault: undefined,
  ...changed,
})
const met = (changed: Partial<LoginsResult>) => judgeLogins(result(changed)).map((verdict) => verdict.met)

test('what is at its limit is met, what is beyond it is missed', () => {
  expect(met({})).toEqual([true, true, true])
  expect(met({ beside: load(26) })).toEqual([false, false, true])
  expect(met({ machinePasswordsPerSecond: 101 })).toEqual([true, true, false])
})

test('a wrong answer leaves every target open, and is shown', () => {
  const invalid = result({ faults: 1, firstFault: '500 broken' })
  expect(judgeLogins(invalid).map((verdict) => verdict.met)).toEqual([undefined, undefined, undefined])
  expect(formatLoginsReport(invalid, judgeLogins(invalid))).toContain('500 broken')
})

test('report and chart say both phases and the passwords per second', () => {
  const text = formatLoginsReport(result(), judgeLogins(result()))
  expect(text).toContain('beside 500 sign-ins')
  expect(text).toContain('400 accepted, 1200 told to come back (503), 0 held back (429)')
  expect(text).toMatch(/Passwords per second: 40\.0; Argon2 alone.*100/)
  expect(drawLoginsChart(result(), 'here')).toContain('Milliseconds for /token')
})
