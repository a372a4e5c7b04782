import { CONTENDER_WORDS, CONTENDERS } from '../contenders/contender.ts'
import { cpuMicroseconds, type ScenarioResult } from './figures.ts'
import { formatNumber, formatTable } from './table.ts'
import type { Verdict } from './targets.ts'

const HEADINGS = [
  ...['scenario', 'server', 'req/s', 'p50 ms', 'p99 ms'],
  ...['server µs', 'Postgres µs', 'sum µs', 'statements', 'generator µs', 'req/s ratio', 'CPU ratio'],
]

const DEVICE_NOTE =
  'device-poll-pending: at this pace Sallyport answers slow_down and keeps the time of each poll; the engine has no such thing.'

/** The tables that `npm run bench` prints. */
export function formatSpeedReport(results: readonly ScenarioResult[], verdicts: readonly Verdict[]): string {
  return [
    formatTable([HEADINGS, ...results.flatMap(toRows)], { textColumns: 2 }),
    'CPU, statements: per request. Ratios: Sallyport’s over that line’s.',
    ...CONTENDERS.map((name) => `${name}: ${CONTENDER_WORDS[name]}`),
    ...(results.some(({ scenario }) => scenario === 'device-poll-pending') ? [DEVICE_NOTE] : []),
    ...results.filter(({ valid }) => !valid).flatMap(toFaults),
    '',
    formatTable([['target', '', '', 'limit', 'measured'], ...verdicts.map(toVerdictRow)], { textColumns: 3 }),
    ...verdicts.filter(({ because }) => because !== undefined).map(toReason),
  ].join('\n')
}

function toRows({ scenario, figures, ratios }: ScenarioResult): string[][] {
  const cpuToPlain = ratioOf(cpuMicroseconds(figures.sallyport), cpuMicroseconds(figures.plain))
  const byContender = {
    engine: [ratios.toEngine, ratios.cpuToEngine],
    plain: [ratios.toPlain, cpuToPlain],
    sallyport: [undefined, undefined],
  } as const
  return CONTENDERS.map((name, index) => {
    const row = figures[name]
    const numbers = [
      row.requestsPerSecond,
      row.p50Milliseconds,
      row.p99Milliseconds,
      row.serverMicroseconds,
      row.postgresMicroseconds,
      cpuMicroseconds(row),
      row.statementsPerRequest,
      row.generatorMicroseconds,
    ].map(formatNumber)
    const relative = byContender[name].map((value) => (value === undefined ? '' : formatNumber(value)))
    return [index === 0 ? scenario : '', name, ...numbers, ...relative]
  })
}

function ratioOf(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : one / other
}

function toFaults({ scenario, figures }: ScenarioResult): string[] {
  return CONTENDERS.filter((name) => figures[name].faults > 0).map(
    (name) =>
      `INVALID ${scenario}, ${name}: ${figures[name].faults} faults, first: ${figures[name].firstFault}`,
  )
}

function toVerdictRow({ scenario, words, limit, bound, value, met }: Verdict): string[] {
  const verdict = met === undefined ? 'unknown' : met ? 'met' : 'MISSED'
  return [verdict, scenario, words, `${bound === 'least' ? '≥' : '≤'} ${limit}`, formatNumber(value)]
}

function toReason({ scenario, words, because }: Verdict): string {
  return `  ${scenario}, ${words}: ${because}`
}
