import { sql } from 'kysely'
import { v7 as timeOrderedId } from 'uuid'
import type { Database } from '../db/connections.ts'
import { secondsAgo } from '../db/expired-rows.ts'
import { columnsOf, prepareStatement } from '../db/prepared-statement.ts'
import type { Clock } from '../time.ts'
import { ANOMALIES, type EventType } from './event-type.ts'

/** Where a request came from. */
export type Origin = Readonly<{
  requestId: string | undefined
  address: string | undefined
  userAgent: string | undefined
}>

/** An event to be recorded. Never a secret: whoever may read events could use it. */
export type NewEvent = Origin &
  Readonly<{
    id: string
    type: EventType
    accountSub: string | undefined
    clientId: string | undefined
    grantId: string | undefined
    sessionUid: string | undefined
    detail: Readonly<Record<string, unknown>> | undefined
  }>

type About = Partial<Omit<NewEvent, 'type' | keyof Origin>>

/** Nobody's request: the command line, a job. */
export const NO_ORIGIN: Origin = { requestId: undefined, address: undefined, userAgent: undefined }

export function newEvent(type: EventType, about: About, origin: Origin = NO_ORIGIN): NewEvent {
  const { requestId, address, userAgent } = origin
  const { id = newEventId(), accountSub, clientId, grantId, sessionUid, detail } = about
  return { id, type, accountSub, clientId, grantId, sessionUid, requestId, address, userAgent, detail }
}

/** This machine's clock until the database's is known. */
let clock: Clock = () => new Date()
let latest = { msecs: 0, seq: 0 }

/**
 * Sets the clock of events for the process; events are made in many modules. Events of all instances are ordered by
 * their identifiers, which hold the time and are made before the insert, so that a retried insert does not record an
 * event twice.
 */
export function dateEventsBy(now: Clock): void {
  clock = now
}

/**
 * A new identifier of an event or a commit: unique, and in the order of time. By this moment's clock: left to itself the
 * library never goes back, and one jump of the clock would date everything after it into the future.
 */
export function newEventId(): string {
  const msecs = clock().getTime()
  latest = { msecs, seq: msecs === latest.msecs ? latest.seq + 1 : 0 }
  return timeOrderedId(latest)
}

const PARAMETERS = 11

/**
 * Records events inside another statement, so that they are written with what they record or not at all.
 *
 * @param first number of the first of the parameters that {@link eventParameters} gives.
 * @param condition narrows which: `new_event.key` is what was given with each. Recording one twice is recording it once.
 */
export function insertEvents(first: number, condition = 'true'): string {
  const [id, type, account, client, grant, session, request, address, agent, detail, key] = Array.from(
    { length: PARAMETERS },
    (_, index) => `$${first + index}`,
  )
  return `
    insert into event (id, type, account_sub, client_id, grant_id, session_uid, request_id, address, user_agent, detail)
    select id, type, account_sub, client_id, grant_id, session_uid, request_id, address, user_agent, detail::jsonb
    from unnest(${id}::uuid[], ${type}::text[], ${account}::uuid[], ${client}::text[], ${grant}::text[],
      ${session}::text[], ${request}::text[], ${address}::text[], ${agent}::text[], ${detail}::text[], ${key}::uuid[])
      as new_event (id, type, account_sub, client_id, grant_id, session_uid, request_id, address, user_agent, detail, key)
    where ${condition}
    on conflict (id) do nothing`
}

/** The parameters of {@link insertEvents}. */
export function eventParameters(events: readonly { event: NewEvent; key?: string }[]): unknown[][] {
  return columnsOf(
    events,
    ({ event }) => event.id,
    ({ event }) => event.type,
    ({ event }) => event.accountSub ?? null,
    ({ event }) => event.clientId ?? null,
    ({ event }) => event.grantId ?? null,
    ({ event }) => event.sessionUid ?? null,
    ({ event }) => event.requestId ?? null,
    ({ event }) => event.address ?? null,
    ({ event }) => event.userAgent ?? null,
    ({ event }) => (event.detail === undefined ? null : JSON.stringify(event.detail)),
    ({ key }) => key ?? null,
  )
}

/** Records events by themselves, or in the transaction of what they record. */
export async function recordEvents(database: Database, events: readonly NewEvent[]): Promise<void> {
  if (events.length === 0) return
  await record(database, eventParameters(events.map((event) => ({ event }))))
}

/**
 * Changes something and records that, both or neither.
 *
 * @param change gives false when there was nothing to change; then nothing is recorded either.
 */
export async function changeAndRecord(
  database: Database,
  event: NewEvent,
  change: (transaction: Database) => Promise<boolean>,
): Promise<boolean> {
  return await database.transaction().execute(async (transaction) => {
    const isChanged = await change(transaction)
    if (isChanged) await recordEvents(transaction, [event])
    return isChanged
  })
}

const record = prepareStatement('event_insert', insertEvents(1))

/** An event as it was recorded. */
export type RecordedEvent = Omit<NewEvent, 'type'> &
  Readonly<{
    type: string
    occurredAt: Date
    /** Whose it is, while that person exists. */
    username: string | undefined
  }>

export type EventFilter = Readonly<{
  types?: readonly EventType[] | undefined
  accountSub?: string | undefined
  clientId?: string | undefined
  sessionUid?: string | undefined
  since?: Date | undefined
  until?: Date | undefined
  /** The first ones after this event; otherwise the last ones there are, … */
  afterId?: string | undefined
  /** … before this one. */
  beforeId?: string | undefined
  anomaliesOnly?: boolean
  limit: number
}>

export type EventStore = ReturnType<typeof createEventStore>

export function createEventStore(database: Database) {
  return {
    record: (events: readonly NewEvent[]): Promise<void> => recordEvents(database, events),

    /** What happened, in the order of time. */
    async list(filter: EventFilter): Promise<RecordedEvent[]> {
      const { accountSub, clientId, sessionUid, since, until, afterId, beforeId, limit } = filter
      const types = typesOf(filter)
      if (types?.length === 0) return []
      const isForward = afterId !== undefined
      let query = database
        .selectFrom('event')
        .leftJoin('account', 'account.sub', 'event.account_sub')
        .selectAll('event')
        .select('account.username')
        .orderBy('event.id', isForward ? 'asc' : 'desc')
        .limit(limit)
      if (types) query = query.where('event.type', 'in', types)
      if (accountSub !== undefined) query = query.where('event.account_sub', '=', accountSub)
      if (clientId !== undefined) query = query.where('event.client_id', '=', clientId)
      if (sessionUid !== undefined) query = query.where('event.session_uid', '=', sessionUid)
      if (since !== undefined) query = query.where('event.id', '>=', firstIdAt(since))
      if (until !== undefined) query = query.where('event.id', '<', firstIdAt(until))
      if (afterId !== undefined) query = query.where('event.id', '>', afterId)
      if (beforeId !== undefined) query = query.where('event.id', '<', beforeId)
      // What operators ask differs from one time to the next: a plan for just this question finds the index that fits it.
      const rows = await database.transaction().execute(async (transaction) => {
        await sql`set local plan_cache_mode = force_custom_plan`.execute(transaction)
        return (await transaction.executeQuery(query)).rows
      })
      const events = rows.map((row) => ({
        id: row.id,
        type: row.type,
        occurredAt: row.occurred_at,
        username: row.username ?? undefined,
        accountSub: row.account_sub ?? undefined,
        clientId: row.client_id ?? undefined,
        grantId: row.grant_id ?? undefined,
        sessionUid: row.session_uid ?? undefined,
        requestId: row.request_id ?? undefined,
        address: row.address ?? undefined,
        userAgent: row.user_agent ?? undefined,
        detail: row.detail ?? undefined,
      }))
      return isForward ? events : events.reverse()
    },

    /** Deletes events older than `ageSeconds`. @returns the number of deleted rows, at most `limit`. */
    async deleteExpired(ageSeconds: number, limit: number): Promise<number> {
      const [row] = await deleteOldest(database, [ageSeconds, limit])
      return row?.deleted ?? 0
    },

    async countExpired(ageSeconds: number, most: number): Promise<number> {
      const [row] = await countOldest(database, [ageSeconds, most])
      return row?.count ?? 0
    },
  }
}

/** The smallest identifier of an event of that age (UUID version 7: milliseconds come first). */
const FIRST_ID_AGO = `(lpad(to_hex((extract(epoch from ${secondsAgo('$1')}) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid`

const deleteOldest = prepareStatement<{ deleted: number }>(
  'event_delete_expired',
  `with gone as (
    delete from event where id = any(array(select id from event where id < ${FIRST_ID_AGO} order by id limit $2)) returning 1
  ) select count(*)::int as deleted from gone`,
)

const countOldest = prepareStatement<{ count: number }>(
  'event_count_expired',
  `select count(*)::int as count from (select from event where id < ${FIRST_ID_AGO} limit $2) as counted`,
)

function typesOf({ types, anomaliesOnly = false }: EventFilter): readonly EventType[] | undefined {
  return anomaliesOnly ? (types ?? ANOMALIES).filter((type) => ANOMALIES.includes(type)) : types
}

/** The smallest identifier that an event of that instant can have. */
function firstIdAt(instant: Date): string {
  return timeOrderedId({ msecs: instant.getTime(), seq: 0, random: new Uint8Array(16) })
}
