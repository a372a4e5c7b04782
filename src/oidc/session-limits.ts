import type { Client } from 'oidc-provider'
import type { SessionState } from '../store/session.ts'
import type { ExtraClientMetadata } from './client-metadata.ts'
import { startOf } from './session-use.ts'

/** How long sessions last: unused, and at all. */
export type SessionLimits = Readonly<{ sessionIdleSeconds: number; sessionAbsoluteSeconds: number }>

/**
 * Whether a session is too old, or was unused for too long, for a client that asked for shorter sessions than others
 * (a bank); for others it goes on.
 */
export function isOverFor(client: Client | undefined, { payload, seenAt }: SessionState, now: Date): boolean {
  const { session_idle_seconds, session_absolute_seconds } = limitsOf(client)
  const hasPassed = (seconds: number | undefined, sinceMilliseconds: number) =>
    seconds !== undefined && now.getTime() - sinceMilliseconds > seconds * 1000
  return (
    hasPassed(session_idle_seconds, seenAt.getTime()) ||
    hasPassed(session_absolute_seconds, startOf(payload) * 1000)
  )
}

/** The idle time that counts for a request of this client. */
export function shortestIdleSeconds(
  client: Client | undefined,
  { sessionIdleSeconds }: SessionLimits,
): number {
  return Math.min(sessionIdleSeconds, limitsOf(client).session_idle_seconds ?? sessionIdleSeconds)
}

function limitsOf(
  client: Client | undefined,
): Pick<ExtraClientMetadata, 'session_idle_seconds' | 'session_absolute_seconds'> {
  return client ? (client as Client & ExtraClientMetadata) : {}
}
