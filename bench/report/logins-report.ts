import type { LoginsResult, SteadyPace } from '../logins/result.ts'
import { judge, type Report, type Row, type Target } from './report.ts'

/** Sign-ins must not slow token requests down much … */
const TOKEN_P99_LIMIT = 2
/** … nor block the event loop. */
const FILE_P99_LIMIT_MILLISECONDS = 25
/** On two cores hashing has one at most; the other serves everything else. */
const PASSWORDS_LIMIT = 0.4

export function reportLogins(settings: object, result: LoginsResult): Report {
  const { faults, firstFault } = result
  const targets = judgeLogins(result)
  return {
    document: { settings, ...result, targets },
    rows: toRows(result),
    targets,
    faults: faults > 0 ? [`${faults} faults, first: ${firstFault}`] : [],
  }
}

/** A run with a wrong answer meets no target. */
export function judgeLogins({ alone, beside, faults, ...result }: LoginsResult): Target[] {
  const known = (value: number) => (faults > 0 ? undefined : value)
  return [
    judge({
      subject: '/token',
      metric: 'p99 beside sign-ins over alone',
      bound: 'at most',
      limit: TOKEN_P99_LIMIT,
      value: known(beside.token.p99Milliseconds / alone.token.p99Milliseconds),
    }),
    judge({
      subject: 'event loop',
      metric: 'p99 ms of a static file beside sign-ins',
      bound: 'at most',
      limit: FILE_P99_LIMIT_MILLISECONDS,
      value: known(beside.file.p99Milliseconds),
    }),
    judge({
      subject: 'sign-ins',
      metric: 'passwords/s over those of argon2 alone',
      bound: 'at least',
      limit: PASSWORDS_LIMIT,
      value: known(passwordsPerSecond(result) / result.machinePasswordsPerSecond),
    }),
  ]
}

function toRows(result: LoginsResult): Row[] {
  const { alone, beside, crowd, people, machinePasswordsPerSecond } = result
  const name = `beside ${people} sign-ins`
  return [
    ['alone', '/token', figuresOf(alone.token)],
    ['alone', 'static file', figuresOf(alone.file)],
    [name, '/token', figuresOf(beside.token)],
    [name, 'static file', figuresOf(beside.file)],
    [
      'sign-ins',
      'accepted (303)',
      {
        requests: crowd.accepted,
        'p50 ms': crowd.acceptedP50Milliseconds,
        'p99 ms': crowd.acceptedP99Milliseconds,
        'passwords/s': passwordsPerSecond(result),
      },
    ],
    ['sign-ins', 'busy (503)', { requests: crowd.busy }],
    ['sign-ins', 'rate limited (429)', { requests: crowd.throttled }],
    ['argon2 alone', 'all libuv threads', { 'passwords/s': machinePasswordsPerSecond }],
  ]
}

function figuresOf({ requests, p50Milliseconds, p99Milliseconds }: SteadyPace): Row[2] {
  return { requests, 'p50 ms': p50Milliseconds, 'p99 ms': p99Milliseconds }
}

function passwordsPerSecond({ crowd }: Pick<LoginsResult, 'crowd'>): number {
  return crowd.accepted / crowd.seconds
}
