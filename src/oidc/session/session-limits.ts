import { type Client, errors, type KoaContextWithOIDC } from 'oidc-provider'
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

/**
 * Refuses a session that would exceed the `max_sessions` of a client. Two concurrent requests both pass here; the
 * transaction that stores the second session refuses it.
 */
export function createRefusal({
  sessions,
  sessionLimits,
}: {
  sessions: SessionStore
  sessionLimits: SessionLimits
}) {
  return async ({ oidc }: KoaContextWithOIDC): Promise<void> => {
    const { client, session, account } = oidc
    const maxSessions = maxSessionsOf(client)
    if (maxSessions === undefined || sessionLimits.whenFull !== 'refuse') return
    if (!client || !session || !account) return
    const who = { accountSub: account.accountId, uid: session.uid }
    if ((await sessions.countOthers(who, client.clientId)) >= maxSessions) throw tooManySessions()
  }
}

export function tooManySessions(): errors.AccessDenied {
  return new errors.AccessDenied('session limit reached')
}

/** The limits on the number of sessions that a session counts towards, new to its person or to a client. */
export function countsFor(
  { isNew, newClient }: { isNew: boolean; newClient: Client | undefined },
  { maxSessions }: SessionLimits,
): SessionCount[] {
  const clientMaxSessions = maxSessionsOf(newClient)
  return [
    ...(isNew && maxSessions > 0 ? [{ most: maxSessions }] : []),
    ...(newClient && clientMaxSessions !== undefined
      ? [{ most: clientMaxSessions, clientId: newClient.clientId }]
      : []),
  ]
}

function maxSessionsOf(client: Client | undefined): number | undefined {
  return (client as (Client & ExtraClientMetadata) | undefined)?.max_sessions
}
