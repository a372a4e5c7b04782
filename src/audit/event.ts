import type { EventType } from './event-type.ts'

/*
 * The room audit: the audit log of accounts, sessions, clients and tokens. event-type.ts lists the types of events,
 * event-insert.ts holds the only SQL insert, event-store.ts records, lists and deletes events.
 */

/** Where a request came from. */
export type Origin = Readonly<{
  requestId: string | undefined
  address: string | undefined
  userAgent: string | undefined
}>

/** An event to be recorded. It never contains a secret, which a reader of the audit log could use. */
export type NewEvent = Origin &
  Readonly<{
    type: EventType
    /** When it happened, by `performance.now()`. The event store converts it to the database's clock. */
    monotonicMilliseconds: number
    accountSub: string | undefined
    clientId: string | undefined
    grantId: string | undefined
    sessionUid: string | undefined
    detail: Readonly<Record<string, unknown>> | undefined
  }>

type Subject = Partial<Omit<NewEvent, 'type' | 'monotonicMilliseconds' | keyof Origin>>

/** The origin of the command line and of jobs, which no request started. */
export const NO_ORIGIN: Origin = { requestId: undefined, address: undefined, userAgent: undefined }

export function newEvent(type: EventType, subject: Subject, origin: Origin = NO_ORIGIN): NewEvent {
  const { requestId, address, userAgent } = origin
  const { accountSub, clientId, grantId, sessionUid, detail } = subject
  return {
    type,
    monotonicMilliseconds: performance.now(),
    accountSub,
    clientId,
    grantId,
    sessionUid,
    requestId,
    address,
    userAgent,
    detail,
  }
}
