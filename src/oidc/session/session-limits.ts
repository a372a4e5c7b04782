import { type AdapterPayload, type Client, errors, type KoaContextWithOIDC } from 'oidc-provider'
import type { FoundSession } from '../../store/session/found-session.ts'
import type { SessionStore } from '../../store/session/session.ts'
import type { SessionCount, WhenFull } from '../../store/session/session-limit.ts'
import type { ExtraClientMetadata } from '../client/client-metadata.ts'
import type { SessionLifetimes } from './session-lifetime.ts'

/** How long sessions live, and how many a person may have at once. */
export type SessionLimits = SessionLifetimes &
  Readonly<{
    /** 0: unlimited. */
    maxSessions: number
    whenFull: WhenFull
  }>

type Needs = { sessions: SessionStore; sessionLimits: SessionLimits }

/**
 * Refuses a session that would exceed the `max_sessions` of a client. Two concurrent requests both pass here; the
 * transaction that stores the second session refuses it.
 */
export function createSessionLimitCheck({ sessions, sessionLimits }: Needs) {
  return async ({ oidc }: KoaContextWithOIDC): Promise<void> => {
    const { client, session, account } = oidc
    const maxSessions = maxSessionsOf(client)
    if (maxSessions === undefined || sessionLimits.whenFull !== 'refuse') return
    if (!client || !session || !account) return
    const current = { accountSub: account.accountId, uid: session.uid }
    if ((await sessions.countOthers(current, client.clientId)) >= maxSessions) throw tooManySessions()
  }
}

export function tooManySessions(): errors.AccessDenied {
  return new errors.AccessDenied('session limit reached')
}

/** The limits on the number of sessions that apply to a session: it is new to its person, or to this client. */
export function countsFor(
  session: AdapterPayload,
  before: FoundSession | undefined,
  { client, limits }: { client: Client | undefined; limits: SessionLimits },
): SessionCount[] {
  const counts: SessionCount[] = []
  const isNew = session.accountId !== undefined && before?.payload.accountId !== session.accountId
  if (isNew && limits.maxSessions > 0) counts.push({ most: limits.maxSessions })
  const maxSessions = maxSessionsOf(client)
  const isNewToClient = hasGrant(session, client) && !hasGrant(before?.payload, client)
  if (client && isNewToClient && maxSessions !== undefined)
    counts.push({ most: maxSessions, clientId: client.clientId })
  return counts
}

function hasGrant(session: AdapterPayload | undefined, client: Client | undefined): boolean {
  return client !== undefined && session?.authorizations?.[client.clientId]?.grantId !== undefined
}

function maxSessionsOf(client: Client | undefined): number | undefined {
  return (client as (Client & ExtraClientMetadata) | undefined)?.max_sessions
}
