import { Command } from 'commander'
import type { Admin } from '../admin/admin.ts'
import type { EventFilter } from '../admin/events.ts'
import { AdminError } from '../admin/input.ts'
import { type EventLog, followEvents, positionNow } from './follow-events.ts'
import { collect } from './operation.ts'
import { createEventLines } from './output/event-line.ts'
import { toPrintable } from './output/printable.ts'
import { print, printResult, type Terminal, UsageError } from './output/terminal.ts'
import { withAdmin, withLastingAdmin } from './with-admin.ts'

type FilterOptions = {
  type?: string[]
  anomalies?: boolean
  user?: string
  client?: string
  session?: string
  since?: string
  json?: boolean
}
type ListOptions = FilterOptions & { until?: string; limit: string }

const MOST = 1000

export function eventsCommand(terminal: Terminal): Command {
  const events = new Command('events').description('show audit events: sign-ins, sessions, tokens, changes')

  withFilters(events.command('list'))
    .description('list the latest events')
    .option('--until <time>', 'events before this time')
    .option('--limit <number>', `most events to list (1 to ${MOST})`, '100')
    .action(async (options: ListOptions) => {
      const limit = /^\d{1,4}$/.test(options.limit) ? Number(options.limit) : 0
      if (limit < 1 || limit > MOST)
        throw new UsageError(`--limit is a number from 1 to ${MOST}, not ${options.limit}`)
      const [since, until] = [parseTime(options.since), parseTime(options.until)]
      const found = await withAdmin(terminal, async (admin) => {
        const times = { since: await toInstant(admin, since), until: await toInstant(admin, until) }
        return await asUsage(admin.events.list({ ...toFilter(options), ...times, limit }))
      })
      printResult(terminal, options, found, (list) =>
        list.length === 0 ? 'No event matches.' : createEventLines()(list).join('\n'),
      )
    })

  withFilters(events.command('follow'))
    .description('show events as they happen, until interrupted')
    .action((options: FilterOptions) => follow(terminal, options))

  return events
}

async function follow(terminal: Terminal, options: FilterOptions): Promise<void> {
  const since = parseTime(options.since)
  const { filter, start } = await withAdmin(terminal, (admin) => prepare(admin, options, since))
  // The reader of a pipe may close it: `| head` is not a fault.
  const left = new AbortController()
  terminal.stdout.on('error', () => left.abort())
  const signal = AbortSignal.any([terminal.signal, left.signal])
  const toLines = createEventLines()
  await withLastingAdmin(terminal, (admin) =>
    followEvents(logOf(admin), {
      filter,
      start,
      signal,
      show(events) {
        const lines = options.json
          ? events.map((event) => toPrintable(JSON.stringify(event)))
          : toLines(events)
        print(terminal, lines.join('\n'))
      },
      report: (text) => void terminal.stderr.write(`${text}\n`),
    }),
  )
}

/** Rejects a wrong filter at once. A person is followed by their `sub`, which stays when the username changes. */
async function prepare(admin: Admin, options: FilterOptions, since: Time | undefined) {
  const given = toFilter(options)
  await asUsage(admin.events.list({ ...given, limit: 1 }))
  const { user } = given
  const isName = user !== undefined && !IS_SUB.test(user)
  const filter = isName ? { ...given, user: (await admin.users.show({ username: user })).sub } : given
  const from = await toInstant(admin, since)
  const start =
    from === undefined
      ? await positionNow(logOf(admin), filter)
      : { from: new Date(from), known: new Set<string>() }
  return { filter, start }
}

function logOf(admin: Admin): EventLog {
  return {
    list: (input) => admin.events.list(input),
    now: async () => new Date((await admin.clock.show()).now),
  }
}

const IS_SUB = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i

function withFilters(command: Command): Command {
  return command
    .option('--type <type>', 'events of this type; may be repeated', collect)
    .option('--anomalies', 'only anomalies, such as reuse detection and rate limits')
    .option('--user <username>', 'events of this person, by username or sub')
    .option('--client <client_id>', 'events of this client')
    .option('--session <session>', 'events of this session')
    .option('--since <time>', 'events since an instant (2026-11-03T09:00:00Z) or an age (15m, 24h, 7d)')
    .option('--json', 'print JSON: one document, or one line per event when following')
}

function toFilter({ type, anomalies, user, client, session }: FilterOptions): EventFilter {
  return { types: type, anomalies, user, client_id: client, session }
}

/** An unknown type is wrong usage. */
async function asUsage<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw error instanceof AdminError && error.message.startsWith('types')
      ? new UsageError(error.message.replace(/^types(\.\d+)?: /gm, '--type: '))
      : error
  }
}

const UNIT_SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 }
const AGO = /^(\d{1,8})([smhd])$/
const INSTANT = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)?)?$/

/** A time option: an instant, or an age. */
type Time = Readonly<{ at: Date } | { secondsAgo: number }>

/** An instant without a zone is in UTC, as events are shown. */
function parseTime(text: string | undefined): Time | undefined {
  if (text === undefined) return undefined
  const [, count, unit = ''] = AGO.exec(text) ?? []
  if (count !== undefined) return { secondsAgo: Number(count) * (UNIT_SECONDS[unit] ?? 0) }
  const [, time, , , zone] = INSTANT.exec(text) ?? []
  const at = INSTANT.test(text) ? new Date(time && !zone ? `${text}Z` : text) : undefined
  if (!at || Number.isNaN(at.getTime()))
    throw new UsageError(`${text} is not a time: use 2026-11-03T09:00:00Z, or 15m, 24h, 7d`)
  return { at }
}

/** Computes an age by the database's clock, which dates events. */
async function toInstant(admin: Admin, time: Time | undefined): Promise<string | undefined> {
  if (time === undefined) return undefined
  if ('at' in time) return time.at.toISOString()
  const now = Date.parse((await admin.clock.show()).now)
  return new Date(Math.max(0, now - time.secondsAgo * 1000)).toISOString()
}
