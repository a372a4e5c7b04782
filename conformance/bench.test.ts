import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import type { GrowthResult } from '../bench/growth/result.ts'
import { SCENARIO_NAMES } from '../bench/load/scenarios.ts'
import type { LoginsResult } from '../bench/logins/result.ts'
import type { ScenarioResult } from '../bench/report/figures.ts'
import { COMPILE_CACHE } from './support/compile-cache.ts'

const BENCH = new URL('../bench/main.ts', import.meta.url).pathname
const MOST_MILLISECONDS = 300_000

/** The output of `npm run bench -- smoke --json`: every request type of the benchmark, sent for a moment. */
let smoke: Readonly<{
  speed: { scenarios: readonly ScenarioResult[] }
  growth: GrowthResult
  logins: LoginsResult
}>

beforeAll(async () => {
  const env = { ...COMPILE_CACHE, PATH: process.env.PATH }
  const { stdout } = await promisify(execFile)(process.execPath, [BENCH, 'smoke', '--json'], {
    env,
    maxBuffer: 10_000_000,
  })
  smoke = JSON.parse(stdout)
}, MOST_MILLISECONDS)

test.for(SCENARIO_NAMES)(
  'the speed benchmark gets only correct answers from all three servers: %s',
  (name) => {
    const result = smoke.speed.scenarios.find(({ scenario }) => scenario === name)
    for (const [server, { requests, firstFault }] of Object.entries(result?.figures ?? {}))
      expect({ server, requests, firstFault }).toEqual({
        server,
        requests: expect.toSatisfy((count: number) => count > 0),
        firstFault: undefined,
      })
    expect(Object.keys(result?.figures ?? {})).toHaveLength(3)
  },
)

test('the growth benchmark gets no wrong answer, explains statements and deletes expired rows', () => {
  const { sizes, plans, cleanup } = smoke.growth
  const [size] = sizes
  expect(size?.refresh.requestsPerSecond).toBeGreaterThan(0)
  expect(size?.introspection.requestsPerSecond).toBeGreaterThan(0)
  expect(plans.some(({ scanned }) => scanned !== undefined)).toBe(true)
  expect(cleanup?.deleted.tokens).toBe(1_000)
})

test('the sign-in benchmark gets no wrong answer and reaches no rate limit', () => {
  const { faults, firstFault, crowd, alone, beside } = smoke.logins
  expect({ faults, firstFault }).toEqual({ faults: 0, firstFault: undefined })
  expect(crowd.accepted).toBeGreaterThan(0)
  expect(crowd.throttled).toBe(0)
  for (const { token, file } of [alone, beside]) {
    expect(token.requests).toBeGreaterThan(0)
    expect(file.requests).toBeGreaterThan(0)
  }
})
