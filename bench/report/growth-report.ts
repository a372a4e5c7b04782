import type { GrowthResult, Pace, SizeResult } from '../growth/result.ts'
import { drawBars, type Panel } from './bars.ts'
import { formatNumber, formatTable } from './table.ts'

/** However many rows there are, a request may take this much longer than with the fewest. */
const LIMIT = 1.2
const COLOURS = { p50: '#1f6f8b', p99: '#c98b2e' }
const LOADS = ['refresh', 'introspection'] as const

export type GrowthVerdict = Readonly<{
  words: string
  value: number
  limit: number
  met: boolean | undefined
}>

/** Compares every size with the smallest, and looks for tables that are read from end to end. */
export function judgeGrowth({ sizes, plans }: GrowthResult): GrowthVerdict[] {
  const smallest = [...sizes].sort((one, other) => one.tokens - other.tokens)[0]
  const paces = sizes
    .filter((size) => size !== smallest)
    .flatMap((size) =>
      LOADS.flatMap((load) =>
        (['p50Milliseconds', 'p99Milliseconds'] as const).map((name) => {
          const value = size[load][name] / (smallest?.[load][name] ?? Number.NaN)
          const words = `${load} ${name.slice(0, 3)} with ${formatCount(size.tokens)} rows over ${formatCount(smallest?.tokens ?? 0)}`
          return { words, value, limit: LIMIT, met: value <= LIMIT }
        }),
      ),
    )
  const scans = plans.reduce((sum, { scanned = [] }) => sum + scanned.length, 0)
  const isKnown = plans.length > 0 && plans.every(({ scanned }) => scanned !== undefined)
  const words = 'large tables that a hot statement reads from end to end'
  return [...paces, { words, value: scans, limit: 0, met: scans > 0 ? false : isKnown ? true : undefined }]
}

/** The tables that `npm run bench -- growth` prints. */
export function formatGrowthReport(result: GrowthResult, verdicts: readonly GrowthVerdict[]): string {
  const { sizes, plans, cleanup } = result
  return [
    formatTable(
      [
        ['token rows', 'load', 'req/s', 'p50 ms', 'p99 ms'],
        ...sizes.flatMap((size) =>
          LOADS.map((load, index) => [
            index === 0 ? formatCount(size.tokens) : '',
            load,
            ...paceCells(size[load]),
          ]),
        ),
      ],
      { textColumns: 2 },
    ),
    '',
    formatTable(
      [
        ['bytes per live token', 'live tokens', 'table', 'indexes', 'whole database'],
        ...sizes.map(toSizeRow),
      ],
      { textColumns: 1 },
    ),
    ...(sizes.at(-1)?.sizes.indexes ?? []).map(
      ({ name, bytesPerLiveToken }) => `  ${name}: ${formatNumber(bytesPerLiveToken)}`,
    ),
    '',
    `Plans of the statements that the load sent, with ${formatCount(sizes.at(-1)?.tokens ?? 0)} rows`,
    ...(plans.length === 0 ? ['  unknown: this Postgres does not count statements'] : plans.flatMap(toPlan)),
    '',
    ...(cleanup ? [formatCleanup(cleanup), ''] : []),
    formatTable([['target', '', 'limit', 'measured'], ...verdicts.map(toVerdictRow)], { textColumns: 2 }),
  ].join('\n')
}

export function drawGrowthChart({ sizes }: GrowthResult, caption: string): string {
  const panels = LOADS.map(
    (load): Panel => ({
      title: `Milliseconds per ${load} by token rows (the same is best)`,
      groups: sizes.map((size) => ({
        name: formatCount(size.tokens),
        bars: (['p50', 'p99'] as const).map((name) => {
          const value = size[load][`${name}Milliseconds`]
          return { colour: COLOURS[name], parts: [value], label: formatNumber(value) }
        }),
      })),
    }),
  )
  const legend = Object.entries(COLOURS).map(([name, colour]) => ({ name, colour }))
  return drawBars(panels, { legend, caption })
}

function formatCleanup({ before, beside, seconds, deleted }: NonNullable<GrowthResult['cleanup']>): string {
  const rows = Object.values(deleted).reduce((sum, count) => sum + count, 0)
  const by = Object.entries(deleted).map(([table, count]) => `${formatCount(count)} ${table}`)
  return [
    `Clean-up of ${by.join(', ')} in ${formatNumber(seconds)} s (${formatNumber(rows / seconds)} rows/s), beside refreshes:`,
    formatTable(
      [
        ['', 'req/s', 'p50 ms', 'p99 ms', 'p99 over before'],
        ['before', ...paceCells(before), ''],
        ...beside.map((pace, index) => [
          `beside it, window ${index + 1}`,
          ...paceCells(pace),
          formatNumber(pace.p99Milliseconds / before.p99Milliseconds),
        ]),
      ],
      { textColumns: 1 },
    ),
  ].join('\n')
}

function toSizeRow({ tokens, sizes }: SizeResult): string[] {
  return [
    `${formatCount(tokens)} rows`,
    formatCount(sizes.liveTokens),
    formatNumber(sizes.tableBytesPerLiveToken),
    formatNumber(sizes.indexBytesPerLiveToken),
    formatNumber(sizes.databaseBytesPerLiveToken),
  ]
}

function toPlan({ load, text, callsPerRequest, lines }: GrowthResult['plans'][number]): string[] {
  const statement = text.replaceAll(/\s+/g, ' ').trim()
  return [
    `  ${load}, ${formatNumber(callsPerRequest)} a request: ${statement}`,
    ...lines.map((line) => `      ${line}`),
  ]
}

function toVerdictRow({ words, value, limit, met }: GrowthVerdict): string[] {
  const verdict = met === undefined ? 'unknown' : met ? 'met' : 'MISSED'
  return [verdict, words, `≤ ${limit}`, formatNumber(value)]
}

function paceCells({ requestsPerSecond, p50Milliseconds, p99Milliseconds }: Pace): string[] {
  return [requestsPerSecond, p50Milliseconds, p99Milliseconds].map(formatNumber)
}

function formatCount(count: number): string {
  return count.toLocaleString('en')
}
