import { setTimeout as pause } from 'node:timers/promises'
import type { EventDocument, EventFilter } from '../admin/events.ts'
import { HolderGoneError } from '../admin/socket.ts'

const POLL_MILLISECONDS = 1_000
/**
 * An event is visible when its transaction commits, possibly seconds after the time that it carries, and from another
 * instance. No transaction takes this long.
 */
const OVERLAP_MILLISECONDS = 30_000
const PAGE = 1000
const FIRST_ID = '00000000-0000-0000-0000-000000000000'

/** The source of events, with the time by the database's clock, which may differ from this machine's. */
export type EventLog = Readonly<{
  list: (input: Record<string, unknown>) => Promise<EventDocument[]>
  now: () => Promise<Date>
}>

/** The time to read from, and the events after it that were seen already. */
export type Position = Readonly<{ from: Date; known: ReadonlySet<string> }>

type Following = Readonly<{
  filter: EventFilter
  start: Position
  signal: AbortSignal
  show: (events: readonly EventDocument[]) => void
  report: (text: string) => void
  pollMilliseconds?: number
}>

/** The position that skips events of the past, also those that are committed later. */
export async function positionNow(log: EventLog, filter: EventFilter): Promise<Position> {
  const from = overlapping(await log.now())
  const known = new Set<string>()
  for await (const page of pagesOf(log, { filter, from })) for (const { id } of page) known.add(id)
  return { from, known }
}

/**
 * Shows each event once, in the order in which events become visible, until the signal aborts. After an outage of the
 * database it continues at the same position, so that no event is missed.
 */
export async function followEvents(log: EventLog, following: Following): Promise<void> {
  const { filter, start, signal, show, report, pollMilliseconds = POLL_MILLISECONDS } = following
  let { from, known } = start
  let trouble: string | undefined

  while (!signal.aborted) {
    const found = new Set<string>()
    try {
      const next = overlapping(await log.now())
      for await (const page of pagesOf(log, { filter, from })) {
        const fresh = page.filter(({ id }) => !known.has(id))
        for (const { id } of page) found.add(id)
        if (fresh.length > 0) show(fresh)
      }
      // The next read overlaps this one, and can find only its events again.
      known = found
      if (next > from) from = next
      if (trouble !== undefined) report('The database answers again.')
      trouble = undefined
    } catch (error) {
      // The next read does not show the events of a read that failed half-way again.
      known = new Set([...known, ...found])
      const reason = messageOf(error)
      if (reason !== trouble) report(`Waiting for the database: ${reason}`)
      trouble = reason
    }
    await pause(pollMilliseconds, undefined, { signal }).catch(() => {})
  }
}

async function* pagesOf(
  { list }: EventLog,
  { filter, from }: { filter: EventFilter; from: Date },
): AsyncGenerator<EventDocument[]> {
  for (let after = FIRST_ID; ; ) {
    const page = await list({ ...filter, since: from.toISOString(), after, limit: PAGE })
    yield page
    const last = page.at(-1)
    if (page.length < PAGE || !last) return
    after = last.id
  }
}

function overlapping(now: Date): Date {
  return new Date(now.getTime() - OVERLAP_MILLISECONDS)
}

function messageOf(error: unknown): string {
  if (error instanceof HolderGoneError) return 'no server is running'
  return error instanceof Error && error.message ? error.message : 'no connection'
}
