import type { Client } from 'oidc-provider'
import type { Payload } from '../../db/schema.ts'
import type { FoundSession } from '../../store/session/found-session.ts'
import type { SessionState } from '../../store/session/session.ts'
import { MINUTE_SECONDS, toEpochSeconds } from '../../time.ts'
import type { ExtraClientMetadata } from '../client/client-metadata.ts'
import { engineNow } from '../engine/engine-time.ts'
import type { RequestContext } from '../engine/request-context.ts'
import { isRemembered } from './authentication.ts'

/** An anonymous session exists for the CSRF value of the device and logout pages. */
const ANONYMOUS_SESSION_SECONDS = 10 * MINUTE_SECONDS
/** A new expiry is stored at most this often … */
const EXPIRY_STEP_SECONDS = 60
/** … and more often for short sessions, so that at most this part of the idle time is lost. */
const EXPIRY_STEP_PART = 0.1

/**
 * How long requests with a replaced identifier leave the browser's cookie alone, because they were sent before the
 * browser had the new one. A browser that never received the new identifier needs another session after that, for the
 * forms of the engine.
 */
const OUTDATED_SECONDS = 10 * MINUTE_SECONDS

/** How long a session lives after its last use, and after it began. */
export type SessionLifetimes = Readonly<{ sessionIdleSeconds: number; sessionAbsoluteSeconds: number }>

type Beginning = { accountId?: unknown; amr?: unknown; iat?: unknown; loginTs?: unknown }

/** When a session began, in epoch seconds: at the sign-in, or when a remembered browser was recognised. */
function startOf(session: Beginning): number {
  return Number((isRemembered(session) ? session.iat : session.loginTs) ?? session.iat ?? 0)
}

/**
 * The engine's lifetime of a session in seconds: the idle time or the time left until its absolute end, and at least the
 * second that the engine requires. {@link capExpiry} corrects that second.
 */
export function sessionSeconds(
  session: Beginning,
  { sessionIdleSeconds, sessionAbsoluteSeconds }: SessionLifetimes,
): number {
  if (!session.accountId || session.loginTs === undefined) return ANONYMOUS_SESSION_SECONDS
  const untilEnd = startOf(session) + sessionAbsoluteSeconds - toEpochSeconds(engineNow())
  return Math.max(1, Math.min(sessionIdleSeconds, untilEnd))
}

/** Ends a stored session at its absolute end at the latest: the engine would extend it by at least a second. */
export function capExpiry(state: Payload, lifetimes: SessionLifetimes): Payload {
  return { ...state, exp: Math.min(Number(state.exp), absoluteEndOf(state, lifetimes)) }
}

/** In epoch seconds; an anonymous session has none. */
function absoluteEndOf(state: Payload, { sessionAbsoluteSeconds }: SessionLifetimes): number {
  return state.accountId === undefined ? Number.POSITIVE_INFINITY : startOf(state) + sessionAbsoluteSeconds
}

/**
 * Whether a session has ended before its stored end: for a client that registered shorter limits (a bank), or for all
 * clients because the settings were shortened. Compared by the database's clock at the time when the session was read.
 */
export function hasReachedLimit(
  client: Client | undefined,
  { payload, seenAt, readAt }: Pick<SessionState, 'payload' | 'seenAt' | 'readAt'>,
  lifetimes: SessionLifetimes,
): boolean {
  if (payload.accountId === undefined) return false
  const { session_absolute_seconds = Number.POSITIVE_INFINITY } = limitsOf(client)
  const absoluteSeconds = Math.min(lifetimes.sessionAbsoluteSeconds, session_absolute_seconds)
  const secondsSince = (milliseconds: number) => (readAt.getTime() - milliseconds) / 1000
  return (
    secondsSince(seenAt.getTime()) >= idleSecondsFor(client, lifetimes) ||
    secondsSince(startOf(payload) * 1000) >= absoluteSeconds
  )
}

/** The status of a session identifier that a request presents. */
type SessionStatus =
  | 'live'
  /** Replaced while the request was in flight: a request with a safe method may still read the session. */
  | 'readable'
  /** Replaced: the browser has a newer identifier. */
  | 'replaced'
  /** Revoked before its time. */
  | 'revoked'
  | 'expired'

export function statusOf(
  found: FoundSession,
  { isSafe, arrivedAt }: Pick<RequestContext, 'isSafe' | 'arrivedAt'>,
  lifetimes: SessionLifetimes,
): SessionStatus {
  const isExpired = found.isExpired || hasReachedLimit(undefined, found, lifetimes)
  if (!found.isEnded) return isExpired ? 'expired' : 'live'
  const wasInFlight = found.endedAt !== undefined && found.endedAt > arrivedAt
  if (found.isReadable && isSafe && wasInFlight && !isExpired) return 'readable'
  return found.isReplaced ? 'replaced' : 'revoked'
}

/** Whether the identifier was replaced or ended during the request, or so recently that the browser may not know. */
export function isOutdated(
  { isReplaced, endedAt, readAt }: FoundSession,
  { arrivedAt }: Pick<RequestContext, 'arrivedAt'>,
): boolean {
  if (endedAt === undefined) return false
  const outdatedUntil = endedAt.getTime() + OUTDATED_SECONDS * 1000
  return endedAt > arrivedAt || (isReplaced && readAt.getTime() < outdatedUntil)
}

/** Which limit an expired session reached. */
export function reachedLimit(
  { payload, readAt }: FoundSession,
  lifetimes: SessionLifetimes,
): 'absolute' | 'idle' {
  return absoluteEndOf(payload, lifetimes) <= readAt.getTime() / 1000 ? 'absolute' : 'idle'
}

/** Whether a new expiry, or the time of use, must be stored. */
export function mustStoreExpiry(
  stored: FoundSession,
  { exp: after }: Payload,
  { client, lifetimes }: { client: Client | undefined; lifetimes: SessionLifetimes },
): boolean {
  const { exp: before } = stored.payload
  if (typeof before !== 'number' || typeof after !== 'number') return true
  const readAt = stored.readAt.getTime() / 1000
  const idle = Math.min(after - readAt, idleSecondsFor(client, lifetimes))
  const step = Math.min(EXPIRY_STEP_SECONDS, idle * EXPIRY_STEP_PART)
  // Near the absolute end the expiry no longer moves, but the time of use matters for clients with a short idle time.
  const isUseUnrecorded = readAt - stored.seenAt.getTime() / 1000 >= step
  return after < before || after - before >= step || isUseUnrecorded
}

/** The idle time that counts for a request of this client. */
function idleSecondsFor(client: Client | undefined, { sessionIdleSeconds }: SessionLifetimes): number {
  return Math.min(sessionIdleSeconds, limitsOf(client).session_idle_seconds ?? sessionIdleSeconds)
}

function limitsOf(
  client: Client | undefined,
): Pick<ExtraClientMetadata, 'session_idle_seconds' | 'session_absolute_seconds'> {
  return client ? (client as Client & ExtraClientMetadata) : {}
}
