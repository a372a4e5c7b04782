import type { EventType } from './event-type.ts'

/*
 * The room audit: the audit log of accounts, sessions, clients and tokens. event-type.ts lists the types of events.
 * Here are the shape of an event and the only SQL insert; event-store.ts records, lists and deletes events.
 */

/** Where a request came from. */
export type Origin = Readonly<{
  requestId: string | undefined
  address: string | undefined
  userAgent: string | undefined
}>

/** The account, client, grant and session of an event, as far as it has them, and details of its type. */
type Subject = Readonly<{
  accountSub?: string | undefined
  clientId?: string | undefined
  grantId?: string | undefined
  sessionUid?: string | undefined
  detail?: Readonly<Record<string, unknown>> | undefined
}>

/** An event to be recorded. It never contains a secret, which a reader of the audit log could use. */
export type NewEvent = Subject &
  Partial<Origin> &
  Readonly<{
    type: EventType
    /** When it happened, by `performance.now()`. The event store converts it to the database's clock. */
    monotonicMilliseconds: number
  }>

/** @param origin undefined for events of the command line and of jobs, which no request started. */
export function newEvent(type: EventType, subject: Subject, origin?: Origin): NewEvent {
  return { type, monotonicMilliseconds: performance.now(), ...subject, ...origin }
}

/** The columns beside `type`. A missing `id` is made by the database's default. */
const COLUMNS = [
  'id',
  'account_sub',
  'client_id',
  'grant_id',
  'session_uid',
  'request_id',
  'address',
  'user_agent',
  'detail',
] as const

/** The columns that a statement sets, each with its SQL expression. */
type EventColumns = Partial<Record<(typeof COLUMNS)[number], string>>

/**
 * SQL: the only insert into the audit table. Recording one identifier twice records it once.
 *
 * @param type an SQL expression; see {@link insertEventsOf} for a fixed type.
 * @param from the rows to record, as in `select … from`; it may end with a `where` clause.
 */
function insertEvents(type: string, columns: EventColumns, from: string): string {
  const names = ['type', ...Object.keys(columns)].join(', ')
  const values = [type, ...Object.values(columns)].join(', ')
  return `insert into event (${names}) select ${values} from ${from} on conflict (id) do nothing`
}

/** SQL: records one event for each row that another part of the statement changed, for example an expired session. */
export function insertEventsOf(type: EventType, columns: EventColumns, from: string): string {
  return insertEvents(`'${type}'`, columns, from)
}

/**
 * SQL: records the events in a parameter, inside the statement whose change they describe.
 *
 * @param parameter holds the result of {@link serializeEvents}.
 * @param condition selects the events to record; `new_event.key` is the key given with each.
 */
export function insertNewEvents(parameter: string, condition = 'true'): string {
  return insertEvents(
    'type',
    Object.fromEntries(COLUMNS.map((name) => [name, name])),
    `json_to_recordset(${parameter}::json) as new_event (id uuid, type text, account_sub uuid, client_id text, grant_id text,
      session_uid text, request_id text, address text, user_agent text, detail jsonb, key uuid) where ${condition}`,
  )
}

/** An event with its identifier; the key links it to a row of the statement that records it. */
type IdentifiedEvent = Readonly<{ id: string; event: NewEvent; key?: string }>

/**
 * Makes the parameter of {@link insertNewEvents}. One JSON document: in batches of 20 and more it took a fifth less time
 * than eleven arrays.
 */
export function serializeEvents(events: readonly IdentifiedEvent[]): string {
  return JSON.stringify(
    events.map(({ id, event, key }) => ({
      id,
      type: event.type,
      account_sub: event.accountSub,
      client_id: event.clientId,
      grant_id: event.grantId,
      session_uid: event.sessionUid,
      request_id: event.requestId,
      address: event.address,
      user_agent: event.userAgent,
      detail: event.detail,
      key,
    })),
    // JSON in Postgres must be Unicode: a client_id that is cut to length may end in half a character.
    (_name, value) => (typeof value === 'string' ? value.toWellFormed() : value),
  )
}
