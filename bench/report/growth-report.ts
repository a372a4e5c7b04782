import type { GrowthResult, Pace } from '../growth/result.ts'
import { judge, type Report, type Row, type Target } from './report.ts'

/** A request on a larger database may take this many times as long as on the smallest. */
const LATENCY_LIMIT = 1.2
const LOADS = ['refresh', 'introspection'] as const

export function reportGrowth(settings: object, result: GrowthResult): Report {
  const targets = judgeGrowth(result)
  // A wrong answer ends this measurement at once, so no report has one.
  return { document: { settings, ...result, targets }, rows: toRows(result), targets, faults: [] }
}

/** Compares every size with the smallest, and counts sequential scans of large tables. */
export function judgeGrowth({ sizes, plans }: GrowthResult): Target[] {
  const smallest = [...sizes].sort((one, other) => one.tokens - other.tokens)[0]
  const latencies = sizes
    .filter((size) => size !== smallest)
    .flatMap((size) =>
      LOADS.flatMap((load) =>
        (['p50Milliseconds', 'p99Milliseconds'] as const).map((name) =>
          judge({
            subject: `${formatCount(size.tokens)} rows, ${load}`,
            metric: `${name.slice(0, 3)} over that with ${formatCount(smallest?.tokens ?? 0)}`,
            bound: 'at most',
            limit: LATENCY_LIMIT,
            value: size[load][name] / (smallest?.[load][name] ?? Number.NaN),
          }),
        ),
      ),
    )
  const scans = plans.reduce((sum, { scanned = [] }) => sum + scanned.length, 0)
  const areAllKnown = plans.length > 0 && plans.every(({ scanned }) => scanned !== undefined)
  const scanned = judge({
    subject: 'plans',
    metric: 'sequential scans of large tables',
    bound: 'at most',
    limit: 0,
    value: scans > 0 || areAllKnown ? scans : undefined,
  })
  return [...latencies, scanned]
}

function toRows({ sizes, cleanup }: GrowthResult): Row[] {
  const rows = sizes.flatMap((size) =>
    LOADS.map((load): Row => [`${formatCount(size.tokens)} rows`, load, figuresOf(size[load])]),
  )
  const bytes = sizes.map(
    ({ tokens, sizes: { databaseBytesPerLiveToken } }): Row => [
      `${formatCount(tokens)} rows`,
      'disk',
      { 'bytes/token': databaseBytesPerLiveToken },
    ],
  )
  return [...rows, ...bytes, ...(cleanup ? toCleanupRows(cleanup) : [])]
}

function toCleanupRows({ before, beside, seconds, deleted }: NonNullable<GrowthResult['cleanup']>): Row[] {
  const count = Object.values(deleted).reduce((sum, rows) => sum + rows, 0)
  return [
    ['before clean-up', 'refresh', figuresOf(before)],
    ...beside.map((pace, index): Row => [`during clean-up, ${index + 1}`, 'refresh', figuresOf(pace)]),
    ['clean-up', `${formatCount(count)} rows`, { 'rows/s': count / seconds }],
  ]
}

function figuresOf({ requestsPerSecond, p50Milliseconds, p99Milliseconds }: Pace): Row[2] {
  return { 'req/s': requestsPerSecond, 'p50 ms': p50Milliseconds, 'p99 ms': p99Milliseconds }
}

function formatCount(count: number): string {
  return count.toLocaleString('en')
}
