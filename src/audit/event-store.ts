import { sql } from 'kysely'
import { v7 as timeOrderedId } from 'uuid'
import type { Database } from '../db/connections.ts'
import { secondsAgo } from '../db/expired-rows.ts'
import { prepareCount, prepareStatement, toFields } from '../db/prepared-statement.ts'
import type { Clock } from '../time.ts'
import { insertNewEvents, type NewEvent, serializeEvents } from './event.ts'
import { ANOMALIES, type EventType } from './event-type.ts'

export type RecordedEvent = Omit<NewEvent, 'type' | 'monotonicMilliseconds'> &
  Readonly<{
    id: string
    /** May be unknown to this version. */
    type: string
    occurredAt: Date
    /** The account's username, while the account exists. */
    username: string | undefined
  }>

export type EventFilter = Readonly<{
  types?: readonly EventType[] | undefined
  accountSub?: string | undefined
  clientId?: string | undefined
  sessionUid?: string | undefined
  since?: Date | undefined
  until?: Date | undefined
  /** Lists the first events after this one; without it, the last events. */
  afterId?: string | undefined
  /** Lists the last events before this one. */
  beforeId?: string | undefined
  anomaliesOnly?: boolean
  limit: number
}>

export type EventStore = ReturnType<typeof createEventStore>

/** @param now the database's clock: identifiers of all instances are in the order of its time. */
export function createEventStore(database: Database, now: Clock) {
  const idOf = createEventIds(now)

  /**
   * Records events, in the transaction of the change that they describe if one is given. Recording the same object again
   * after a failure records it once.
   */
  async function record(events: readonly NewEvent[], transaction: Database = database): Promise<void> {
    if (events.length > 0) await insert(transaction, [serialize(events.map((event) => ({ event })))])
  }

  /** @returns the parameter of `insertNewEvents`. */
  function serialize(events: readonly Readonly<{ event: NewEvent; key?: string }>[]): string {
    return serializeEvents(events.map((keyed) => ({ id: idOf(keyed.event), ...keyed })))
  }

  return {
    record,
    serialize,

    /**
     * Makes a change and records it in one transaction.
     *
     * @param change returns false when there was nothing to change; then nothing is recorded.
     */
    async changeAndRecord(
      event: NewEvent,
      change: (transaction: Database) => Promise<boolean>,
    ): Promise<boolean> {
      return await database.transaction().execute(async (transaction) => {
        const isChanged = await change(transaction)
        if (isChanged) await record([event], transaction)
        return isChanged
      })
    },

    /** Lists events in the order of time. */
    async list(filter: EventFilter): Promise<RecordedEvent[]> {
      const types = typesOf(filter)
      if (types?.length === 0) return []
      const query = selectEvents(database, filter, types)
      // Filters differ from call to call: a plan for each finds the index that fits it.
      const rows = await database.transaction().execute(async (transaction) => {
        await sql`set local plan_cache_mode = force_custom_plan`.execute(transaction)
        return (await transaction.executeQuery(query)).rows
      })
      const events = rows.map(toFields)
      return filter.afterId === undefined ? events.reverse() : events
    },

    /** Deletes events older than `ageSeconds`. @returns the number of deleted rows, at most `limit`. */
    deleteExpired: (ageSeconds: number, limit: number): Promise<number> =>
      deleteOldest(database, [ageSeconds, limit]),

    countExpired: (ageSeconds: number, most: number): Promise<number> =>
      countOldest(database, [ageSeconds, most]),
  }
}

/**
 * Creates the function that gives an event its identifier: unique, in the order of time, and the same for the same object,
 * so that a retried insert does not record an event twice. The library alone never goes back in time, so one jump of the
 * clock would date every later event into the future.
 */
function createEventIds(now: Clock): (event: NewEvent) => string {
  const ids = new WeakMap<NewEvent, string>()
  let latest = { msecs: 0, seq: 0 }
  return (event) => {
    const known = ids.get(event)
    if (known !== undefined) return known
    const msecs = Math.floor(now().getTime() - (performance.now() - event.monotonicMilliseconds))
    latest = { msecs, seq: msecs === latest.msecs ? latest.seq + 1 : 0 }
    const id = timeOrderedId(latest)
    ids.set(event, id)
    return id
  }
}

const insert = prepareStatement('event_insert', insertNewEvents('$1'))

function selectEvents(database: Database, filter: EventFilter, types: readonly EventType[] | undefined) {
  const { accountSub, clientId, sessionUid, since, until, afterId, beforeId, limit } = filter
  let query = database
    .selectFrom('event')
    .leftJoin('account', 'account.sub', 'event.account_sub')
    .selectAll('event')
    .select('account.username')
    .orderBy('event.id', afterId === undefined ? 'desc' : 'asc')
    .limit(limit)
  if (types) query = query.where('event.type', 'in', types)
  if (accountSub !== undefined) query = query.where('event.account_sub', '=', accountSub)
  if (clientId !== undefined) query = query.where('event.client_id', '=', clientId)
  if (sessionUid !== undefined) query = query.where('event.session_uid', '=', sessionUid)
  if (since !== undefined) query = query.where('event.id', '>=', firstIdAt(since))
  if (until !== undefined) query = query.where('event.id', '<', firstIdAt(until))
  if (afterId !== undefined) query = query.where('event.id', '>', afterId)
  if (beforeId !== undefined) query = query.where('event.id', '<', beforeId)
  return query
}

/** The smallest identifier of an event of that age (UUID version 7: milliseconds come first). */
const FIRST_ID_AGO = `(lpad(to_hex((extract(epoch from ${secondsAgo('$1')}) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid`

const deleteOldest = prepareCount(
  'event_delete_expired',
  `with deleted as (
    delete from event where id = any(array(select id from event where id < ${FIRST_ID_AGO} order by id limit $2)) returning 1
  ) select count(*)::int as count from deleted`,
)

const countOldest = prepareCount(
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
