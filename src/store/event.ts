import { v7 as timeOrderedId } from 'uuid'
import type { Database } from './database.ts'
import { columnsOf, defineStatement } from './statement.ts'

/** What is recorded, and what each means: `sallyport events` lists them. */
export const EVENT_TYPES = {
  'sign_in.accepted': 'a person proved who they are',
  'sign_in.refused': 'somebody tried and failed to',
  'sign_in.throttled': 'an attempt to sign in was put off',
  'session.created': 'a browser was signed in',
  'session.remembered': 'a remembered browser was signed in again, without a page',
  'session.expired': 'a session reached its idle or absolute limit',
  'session.ended': 'a session was ended; the detail says by whom and why',
  'session.used_after_end': 'anomaly: a cookie was used after its session had been ended',
  'session.used_after_expiry': 'anomaly: a cookie was used after its session had expired',
  'session.second_browser': 'anomaly: a session was used from another browser',
  'session.second_network': 'anomaly: a session was used from two networks within a minute',
  'browser.remembered': 'a person had a browser remembered',
  'browser.reused': 'anomaly: a remember-me cookie that had been replaced was used again',
  'consent.given': 'a person let a client do something',
  'consent.withdrawn': 'a person ended what a client may do',
  'token.issued': 'a client got its first tokens for a person',
  'token.rotated': 'a client refreshed its tokens',
  'token.revoked': 'a client gave tokens back',
  'authorization_code.reused': 'anomaly: a code was redeemed again',
  'device_code.reused': 'anomaly: a device code was redeemed again',
  'refresh_token.reused': 'anomaly: a refresh token that had been replaced was used again',
  'device.approved': 'a person connected a device',
  'device.denied': 'a person refused a device',
  'account.created': 'a person was added',
  'account.password_changed': 'a password was replaced',
  'account.disabled': 'a person was locked out',
  'account.enabled': 'a person was let in again',
  'account.deleted': 'a person was deleted',
  'client.created': 'a client was registered',
  'client.updated': 'a client’s registration was changed',
  'client.secret_rotated': 'a client got a new secret',
  'client.deleted': 'a client was deleted',
  'key.created': 'a signing key was made',
  'backchannel_logout.delivered': 'a client confirmed that it ended a session',
  'backchannel_logout.given_up': 'a client did not confirm in time that it ended a session',
} as const

export type EventType = keyof typeof EVENT_TYPES

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

/** A new identifier of an event or a commit: unique, and in the order of time. */
export const newEventId = (): string => timeOrderedId()

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

const record = defineStatement('event_insert', insertEvents(1))

export type EventStore = ReturnType<typeof createEventStore>

export function createEventStore(database: Database) {
  return {
    record: (events: readonly NewEvent[]): Promise<void> => recordEvents(database, events),

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
