import { type Client, errors, type KoaContextWithOIDC } from 'oidc-provider'
import type { SessionState, SessionStore } from '../../store/session/session.ts'
import type { SessionCount, WhenFull } from '../../store/session/session-limit.ts'
import type { ExtraClientMetadata } from '../client/client-metadata.ts'
import { startOf } from './session-use.ts'

/** How long sessions last, unused and at all, and how many there may be. */
export type SessionLimits = Readonly<{
  sessionIdleSeconds: number
  sessionAbsoluteSeconds: number
  /** The most concurrent sessions of a person; 0: unlimited. */
  maxSessions: number
  whenFull: WhenFull
}>

/**
 * Whether a session has ended before its stored end: for a client that registered shorter limits (a bank), or for all
 * clients because the settings were shortened. Compared by the database's clock at the time when the session was read.
 */
export function isOverFor(
  client: Client | undefined,
  { payload, seenAt, readAt }: Pick<SessionState, 'payload' | 'seenAt' | 'readAt'>,
  limits: SessionLimits,
): boolean {
  if (payload.accountId === undefined) return false
  const { session_absolute_seconds = Number.POSITIVE_INFINITY } = limitsOf(client)
  const absoluteSeconds = Math.min(limits.sessionAbsoluteSeconds, session_absolute_seconds)
  const secondsSince = (milliseconds: number) => (readAt.getTime() - milliseconds) / 1000
  return (
    secondsSince(seenAt.getTime()) >= shortestIdleSeconds(client, limits) ||
    secondsSince(startOf(payload) * 1000) >= absoluteSeconds
  )
}

/** The idle time that counts for a request of this client. */
export function shortestIdleSeconds(
  client: Client | undefined,
  { sessionIdleSeconds }: SessionLimits,
): number {
  return Math.min(sessionIdleSeconds, limitsOf(client).session_idle_seconds ?? sessionIdleSeconds)
}

/**
 * Turns a person away from a client that they use in as many other browsers as it allows. (Two who come at once both
 * pass; then the transaction that stores the second one's session refuses.)
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
    const { max_sessions } = limitsOf(client)
    if (max_sessions === undefined || sessionLimits.whenFull !== 'refuse') return
    if (!client || !session || !account) return
    const who = { accountSub: account.accountId, uid: session.uid }
    if ((await sessions.countOthers(who, client.clientId)) >= max_sessions) throw tooManySessions()
  }
}

export function tooManySessions(): errors.AccessDenied {
  return new errors.AccessDenied('session limit reached')
}

/** Which numbers of sessions a session counts towards that is new to its person, or to a client. */
export function countsFor(
  { isNew, newClient }: { isNew: boolean; newClient: Client | undefined },
  { maxSessions }: SessionLimits,
): SessionCount[] {
  const { max_sessions } = limitsOf(newClient)
  return [
    ...(isNew && maxSessions > 0 ? [{ most: maxSessions }] : []),
    ...(newClient && max_sessions !== undefined
      ? [{ most: max_sessions, clientId: newClient.clientId }]
      : []),
  ]
}

function limitsOf(
  client: Client | undefined,
): Pick<ExtraClientMetadata, 'session_idle_seconds' | 'session_absolute_seconds' | 'max_sessions'> {
  return client ? (client as Client & ExtraClientMetadata) : {}
}
