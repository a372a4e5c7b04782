import { expect, test } from 'vitest'
import type { GrowthResult, SizeResult } from '../growth/result.ts'
import { judgeGrowth } from './growth-report.ts'

const sizes = { rows: 0, liveTokens: 0, indexes: [] }
const bytes = { tableBytesPerLiveToken: 0, indexBytesPerLiveToken: 0, databaseBytesPerLiveToken: 0 }

function size(tokens: number, p50Milliseconds: number, p99Milliseconds: number): SizeResult {
  const pace = { requestsPerSecond: 1, p50Milliseconds, p99Milliseconds }
  return { tokens, sizes: { ...sizes, ...bytes }, refresh: pace, introspection: pace }
}

function plan(scanned: string[] | undefined): GrowthResult['plans'][number] {
  return { load: 'refresh', text: 'select', callsPerRequest: 1, lines: [], scanned }
}

test('every size is compared with the smallest, in any order', () => {
  const targets = judgeGrowth({ sizes: [size(100, 6, 13), size(10, 5, 10)], plans: [], cleanup: undefined })
  expect(targets.slice(0, 2)).toMatchObject([
    { value: 1.2, met: true },
    { value: 1.3, met: false },
  ])
})

test('a sequential scan of a large table misses the target, an unknown plan leaves it unknown', () => {
  const last = (plans: GrowthResult['plans']) => judgeGrowth({ sizes: [], plans, cleanup: undefined }).at(-1)
  expect(last([plan([])])?.met).toBe(true)
  expect(last([plan([]), plan(['oidc_token'])])?.met).toBe(false)
  expect(last([plan([]), plan(undefined)])?.met).toBeUndefined()
  expect(last([])?.met).toBeUndefined()
})
