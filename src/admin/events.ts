import { distance } from 'fastest-levenshtein'
import { z } from 'zod'
import type { RecordedEvent } from '../audit/event-store.ts'
import { EVENT_TYPES, type EventType } from '../audit/event-type.ts'
import type { Stores } from '../store/stores.ts'
import { AdminError, parseInput, withoutUndefined } from './input.ts'

const MOST = 1000

const eventType = z.string().transform((name, context): EventType => {
  if (isEventType(name)) return name
  const nearest = Object.keys(EVENT_TYPES).toSorted((a, b) => distance(name, a) - distance(name, b))
  context.addIssue(`${name} is no type of event; did you mean ${nearest.slice(0, 2).join(' or ')}?`)
  return z.NEVER
})

const filter = z.strictObject({
  types: z.array(eventType).max(50).optional(),
  anomalies: z.boolean().default(false),
  user: z.string().max(254).optional(),
  client_id: z.string().max(128).optional(),
  session: z.string().max(128).optional(),
  since: z.iso.datetime({ offset: true }).optional(),
  until: z.iso.datetime({ offset: true }).optional(),
  /** Lists the first events after this one, instead of the latest ones. */
  after: z.uuid().optional(),
  before: z.uuid().optional(),
  limit: z.number().int().min(1, 'is at least 1').max(MOST, `is at most ${MOST}`).default(100),
})

export type EventDocument = Pick<Listed, 'id' | 'occurred_at' | 'type'> & Partial<Listed>
type Listed = ReturnType<typeof toDocument>
/** Which events to list. */
export type EventFilter = Pick<
  z.input<typeof filter>,
  'types' | 'anomalies' | 'user' | 'client_id' | 'session'
>

export function createEventsAdmin({ events, accounts }: Pick<Stores, 'events' | 'accounts'>) {
  return {
    async list(input: unknown): Promise<EventDocument[]> {
      const given = parseInput(filter, input ?? {})
      const { types, anomalies, user, client_id, session, since, until, after, before, limit } = given
      const found = await events.list({
        types,
        anomaliesOnly: anomalies,
        accountSub: user === undefined ? undefined : await findSub(user),
        clientId: client_id,
        sessionUid: session,
        since: since === undefined ? undefined : new Date(since),
        until: until === undefined ? undefined : new Date(until),
        afterId: after,
        beforeId: before,
        limit,
      })
      return found.map(toDocument)
    },
  }

  /** Finds a subject by username or e-mail address. A deleted account has only its `sub`. */
  async function findSub(user: string): Promise<string> {
    if (z.uuid().safeParse(user).success) return user
    const found = await accounts.findByLogin(user)
    if (!found) throw new AdminError(`There is no person called ${user}.`)
    return found.account.sub
  }
}

function isEventType(name: string): name is EventType {
  return Object.hasOwn(EVENT_TYPES, name)
}

function toDocument(event: RecordedEvent) {
  return withoutUndefined({
    id: event.id,
    occurred_at: event.occurredAt.toISOString(),
    type: event.type,
    username: event.username,
    account: event.accountSub,
    client_id: event.clientId,
    grant: event.grantId,
    session: event.sessionUid,
    request: event.requestId,
    address: event.address,
    user_agent: event.userAgent,
    detail: event.detail,
  })
}
