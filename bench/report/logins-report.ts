import type { LoginsResult } from '../logins/result.ts'
import { drawBars, type Panel } from './bars.ts'
import { formatNumber, formatTable } from './table.ts'

/** Sign-ins may not have a token request wait noticeably longer … */
const TOKEN_P99_LIMIT = 2
/** … nor hold the event loop up. */
const FILE_P99_LIMIT_MILLISECONDS = 25
/** On two cores one is left free of hashing, and shared with everything else. */
const PASSWORDS_LIMIT = 0.4
const COLOURS = { alone: '#1f6f8b', beside: '#c98b2e' }
const PHASES = ['alone', 'beside'] as const
const LOADS = { token: '/token', file: 'a file' } as const

export type LoginsVerdict = Readonly<{
  words: string
  bound: 'least' | 'most'
  limit: number
  value: number
  /** undefined when an answer was wrong. */
  met: boolean | undefined
}>

export function judgeLogins({ alone, beside, faults, ...result }: LoginsResult): LoginsVerdict[] {
  const verdict = (words: string, bound: 'least' | 'most', limit: number, value: number): LoginsVerdict => {
    const met = faults > 0 ? undefined : bound === 'least' ? value >= limit : value <= limit
    return { words, bound, limit, value, met }
  }
  return [
    verdict(
      '/token p99 beside sign-ins over alone',
      'most',
      TOKEN_P99_LIMIT,
      beside.token.p99Milliseconds / alone.token.p99Milliseconds,
    ),
    verdict(
      'event loop: p99 of a file beside sign-ins, in ms',
      'most',
      FILE_P99_LIMIT_MILLISECONDS,
      beside.file.p99Milliseconds,
    ),
    verdict(
      'passwords/s over the machine’s limit',
      'least',
      PASSWORDS_LIMIT,
      passwordsPerSecond(result) / result.machinePasswordsPerSecond,
    ),
  ]
}

/** The tables that `npm run bench -- logins` prints. */
export function formatLoginsReport(result: LoginsResult, verdicts: readonly LoginsVerdict[]): string {
  const { people, rate, crowd, machinePasswordsPerSecond, faults, firstFault } = result
  const seconds = `${formatNumber(crowd.seconds)} s`
  return [
    formatTable(
      [
        [`${rate} /token a second`, '', 'requests', 'p50 ms', 'p99 ms'],
        ...PHASES.flatMap((phase) =>
          (['token', 'file'] as const).map((load, index) => {
            const { requests, p50Milliseconds, p99Milliseconds } = result[phase][load]
            const name = phase === 'alone' ? 'alone' : `beside ${people} sign-ins`
            const numbers = [p50Milliseconds, p99Milliseconds].map(formatNumber)
            return [index === 0 ? name : '', LOADS[load], String(requests), ...numbers]
          }),
        ),
      ],
      { textColumns: 2 },
    ),
    '',
    `Sign-ins of ${people} people at a time in ${seconds}: ${crowd.accepted} accepted, ${crowd.busy} told to come back (503), ${crowd.throttled} held back (429)`,
    `Let in after: p50 ${formatNumber(crowd.acceptedP50Milliseconds)} ms, p99 ${formatNumber(crowd.acceptedP99Milliseconds)} ms`,
    `Passwords per second: ${formatNumber(passwordsPerSecond(result))}; Argon2 alone, on all of libuv’s threads: ${formatNumber(machinePasswordsPerSecond)}`,
    ...(faults > 0 ? [`INVALID: ${faults} faults, first: ${firstFault}`] : []),
    '',
    formatTable([['target', '', 'limit', 'measured'], ...verdicts.map(toVerdictRow)], { textColumns: 2 }),
  ].join('\n')
}

export function drawLoginsChart(result: LoginsResult, caption: string): string {
  const panels = (['token', 'file'] as const).map(
    (load): Panel => ({
      title: `Milliseconds for ${LOADS[load]} (the same is best)`,
      groups: (['p50', 'p99'] as const).map((name) => ({
        name,
        bars: PHASES.map((phase) => {
          const value = result[phase][load][`${name}Milliseconds`]
          return { colour: COLOURS[phase], parts: [value], label: formatNumber(value) }
        }),
      })),
    }),
  )
  const legend = Object.entries(COLOURS).map(([name, colour]) => ({ name, colour }))
  return drawBars(panels, { legend, caption })
}

function passwordsPerSecond({ crowd }: Pick<LoginsResult, 'crowd'>): number {
  return crowd.accepted / crowd.seconds
}

function toVerdictRow({ words, bound, limit, value, met }: LoginsVerdict): string[] {
  const verdict = met === undefined ? 'unknown' : met ? 'met' : 'MISSED'
  return [verdict, words, `${bound === 'least' ? '≥' : '≤'} ${limit}`, formatNumber(value)]
}
