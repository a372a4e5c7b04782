import { v7 as timeOrderedId } from 'uuid'
import type { Database } from './database.ts'
import { columnsOf, defineStatement } from './statement.ts'

/** What is recorded of people's tokens. Never a secret: whoever may read events could use it. */
export type EventType =
  | 'token.issued'
  | 'token.rotated'
  | 'authorization_code.reused'
  | 'device_code.reused'
  | 'refresh_token.reused'

export type NewEvent = Readonly<{
  id: string
  type: EventType
  accountSub: string | undefined
  clientId: string | undefined
  grantId: string | undefined
  sessionUid: string | undefined
  requestId: string | undefined
  address: string | undefined
  userAgent: string | undefined
}>

/** A new identifier of an event or a commit: unique, and in the order of time. */
export const newEventId = (): string => timeOrderedId()

/**
 * Records events inside another statement, so that they are written with what they record or not at all.
 *
 * @param first number of the first of the nine parameters that {@link eventParameters} gives.
 * @param condition narrows which: `new_event.key` is what was given with each. Recording one twice is recording it once.
 */
export function insertEvents(first: number, condition = 'true'): string {
  const [id, type, account, client, grant, session, request, address, agent, key] = Array.from(
    { length: 10 },
    (_, index) => `$${first + index}`,
  )
  return `
    insert into event (id, type, account_sub, client_id, grant_id, session_uid, request_id, address, user_agent)
    select id, type, account_sub, client_id, grant_id, session_uid, request_id, address, user_agent
    from unnest(${id}::uuid[], ${type}::text[], ${account}::uuid[], ${client}::text[], ${grant}::text[],
      ${session}::text[], ${request}::text[], ${address}::text[], ${agent}::text[], ${key}::uuid[])
      as new_event (id, type, account_sub, client_id, grant_id, session_uid, request_id, address, user_agent, key)
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
    ({ key }) => key ?? null,
  )
}

export type EventStore = ReturnType<typeof createEventStore>

export function createEventStore(database: Database) {
  return {
    /** @returns how many rows went; at most `limit`. */
    async deleteExpired(before: Date, limit: number): Promise<number> {
      const [row] = await deleteOldest(database, [firstIdAt(before), limit])
      return row?.deleted ?? 0
    },

    async countExpired(before: Date, most: number): Promise<number> {
      const [row] = await countOldest(database, [firstIdAt(before), most])
      return row?.count ?? 0
    },
  }
}

const deleteOldest = defineStatement<{ deleted: number }>(
  'event_delete_expired',
  `with gone as (
    delete from event where id in (select id from event where id < $1::uuid order by id limit $2) returning 1
  ) select count(*)::int as deleted from gone`,
)

const countOldest = defineStatement<{ count: number }>(
  'event_count_expired',
  `select count(*)::int as count from (select from event where id < $1::uuid limit $2) as counted`,
)

/** The smallest identifier that an event of that instant can have. */
function firstIdAt(instant: Date): string {
  return timeOrderedId({ msecs: instant.getTime(), seq: 0, random: new Uint8Array(16) })
}
