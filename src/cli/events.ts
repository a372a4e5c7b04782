import { setTimeout as pause } from 'node:timers/promises'
import { Command } from 'commander'
import type { Admin } from '../admin/admin.ts'
import { AdminError } from '../admin/admin-error.ts'
import type { EventDocument } from '../admin/events.ts'
import { toPrintable } from './printable.ts'
import { print, printResult, type Terminal, UsageError } from './terminal.ts'
import { withAdmin } from './with-admin.ts'

const POLL_MILLISECONDS = 1_000
/** An event may be committed later than one with a younger identifier, by another instance: followers look back. */
const OVERLAP_MILLISECONDS = 10_000
const PAGE = 1000

type FilterOptions = {
  type?: string[]
  anomalies?: boolean
  user?: string
  client?: string
  session?: string
  json?: boolean
}
type ListOptions = FilterOptions & { since?: string; until?: string; limit: string }

export function eventsCommand(terminal: Terminal): Command {
  const events = new Command('events').description('see what happened: sign-ins, sessions, tokens, changes')

  withFilters(events.command('list'))
    .description('show the last events')
    .option(
      '--since <time>',
      'from then on: an instant (2026-11-03T09:00:00Z) or how long ago (15m, 24h, 7d)',
    )
    .option('--until <time>', 'before then')
    .option('--limit <number>', 'how many at most, the last ones (1 to 1000)', '100')
    .action(async (options: ListOptions) => {
      if (!/^\d+$/.test(options.limit)) throw new UsageError(`${options.limit} is not a whole number`)
      const input = {
        ...toFilter(options),
        since: toInstant(options.since),
        until: toInstant(options.until),
        limit: Number(options.limit),
      }
      const found = await withAdmin(terminal, (admin) => asUsage(admin.events.list(input)))
      printResult(terminal, options, found, (list) =>
        list.length === 0 ? 'Nothing that fits is on record.' : list.map(toLine).join('\n'),
      )
    })

  withFilters(events.command('follow'))
    .description('show events as they happen, until interrupted')
    .action((options: FilterOptions) => follow(terminal, options))

  return events
}

/** Each event once, in the order in which they become known. A database that is away is waited for. */
async function follow(terminal: Terminal, options: FilterOptions): Promise<void> {
  const { signal, stderr } = terminal
  const filter = toFilter(options)
  const startedAt = Date.now()
  let known = new Map<string, number>()
  let isAway = false
  await withAdmin(terminal, async (admin) => {
    await asUsage(admin.events.list({ ...filter, limit: 1 }))
    while (!signal.aborted) {
      const from = Math.max(startedAt, Date.now() - OVERLAP_MILLISECONDS)
      try {
        for (const event of await listSince(admin, filter, new Date(from))) {
          if (known.has(event.id)) continue
          known.set(event.id, Date.now())
          print(terminal, options.json ? JSON.stringify(event) : toLine(event))
        }
        if (isAway) stderr.write('The database answers again.\n')
        isAway = false
      } catch (error) {
        if (!isAway) stderr.write(`Waiting for the database: ${messageOf(error)}\n`)
        isAway = true
      }
      const oldest = Date.now() - 2 * OVERLAP_MILLISECONDS
      known = new Map([...known].filter(([, at]) => at >= oldest))
      await pause(POLL_MILLISECONDS, undefined, { signal }).catch(() => {})
    }
  })
}

async function listSince(
  admin: Admin,
  filter: Record<string, unknown>,
  since: Date,
): Promise<EventDocument[]> {
  const events: EventDocument[] = []
  for (let after = FIRST_ID; ; ) {
    const page = await admin.events.list({ ...filter, since: since.toISOString(), after, limit: PAGE })
    events.push(...page)
    const last = page.at(-1)
    if (page.length < PAGE || !last) return events
    after = last.id
  }
}

const FIRST_ID = '00000000-0000-0000-0000-000000000000'

function withFilters(command: Command): Command {
  return command
    .option('--type <type>', 'of this type only; may be repeated', (value, before: string[] = []) => [
      ...before,
      value,
    ])
    .option('--anomalies', 'only what should not happen when everybody is honest')
    .option('--user <username>', 'of this person only (or their sub)')
    .option('--client <client_id>', 'of this client only')
    .option('--session <session>', 'of this session only')
    .option('--json', 'print JSON: one document; following, one a line')
}

function toFilter({ type, anomalies, user, client, session }: FilterOptions): Record<string, unknown> {
  return { types: type, anomalies, user, client_id: client, session }
}

/** What cannot be listed was asked for wrongly. */
async function asUsage<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw error instanceof AdminError && error.message.startsWith('types')
      ? new UsageError(error.message)
      : error
  }
}

const UNIT_SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 }

function toInstant(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const [, count, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  const at =
    count === undefined ? Date.parse(text) : Date.now() - Number(count) * (UNIT_SECONDS[unit] ?? 0) * 1000
  if (Number.isNaN(at)) throw new UsageError(`${text} is no time: give 2026-11-03T09:00:00Z, or 15m, 24h, 7d`)
  return new Date(at).toISOString()
}

/** Names and browsers are what others chose to send: nothing in them may steer the terminal. */
function toLine(event: EventDocument): string {
  const { occurred_at, type, username, account, client_id, address, detail } = event
  const who = username ?? account ?? '-'
  const parts = [
    occurred_at.replace('T', ' ').slice(0, 19),
    type.padEnd(26),
    who.padEnd(16),
    (client_id ?? '-').padEnd(16),
    address ?? '-',
    detail === undefined ? '' : describeDetail(detail),
  ]
  return toPrintable(parts.join('  ').trimEnd())
}

function describeDetail(detail: Readonly<Record<string, unknown>>): string {
  return Object.entries(detail)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ')
}

function messageOf(error: unknown): string {
  return error instanceof Error && error.message ? error.message : 'no connection'
}
