import { expect, test } from 'vitest'
import type { LoginsResult } from '../logins/result.ts'
import { judgeLogins, reportLogins } from './logins-report.ts'
import { formatReport } from './report.ts'

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
const met = (changed: Partial<LoginsResult>) => judgeLogins(result(changed)).map((target) => target.met)

test('a value at its limit meets the target, a value beyond it misses it', () => {
  expect(met({})).toEqual([true, true, true])
  expect(met({ beside: load(26) })).toEqual([false, false, true])
  expect(met({ machinePasswordsPerSecond: 101 })).toEqual([true, true, false])
})

test('a wrong answer leaves every target unknown, and is printed', () => {
  const invalid = result({ faults: 1, firstFault: '500 broken' })
  expect(judgeLogins(invalid).map((target) => target.met)).toEqual([undefined, undefined, undefined])
  expect(formatReport(reportLogins({}, invalid))).toContain('INVALID 1 faults, first: 500 broken')
})

test('the table shows both phases, the outcomes of sign-ins and the passwords per second', () => {
  const text = formatReport(reportLogins({}, result()))
  expect(text).toMatch(/beside 500 sign-ins +\/token +1000 +2 +20/)
  expect(text).toMatch(/accepted \(303\) +400 +1000 +2000 +40/)
  expect(text).toMatch(/busy \(503\) +1200/)
  expect(text).toMatch(/argon2 alone .* 100$/m)
})
