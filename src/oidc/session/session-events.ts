import type { AdapterPayload } from 'oidc-provider'
import { type NewEvent, newEvent, type Origin } from '../../audit/event.ts'
import type { EventType } from '../../audit/event-type.ts'
import { siteOf } from '../../rate-limiting/network.ts'
import type { FoundSession } from '../../store/session/found-session.ts'
import { MINUTE_SECONDS } from '../../time.ts'
import { isRemembered } from './authentication.ts'
import { reachedLimit, type SessionLifetimes } from './session-lifetime.ts'

/** The audit events of storing a session: a sign-in, or an anomaly in its use. */
export function eventsOfUse(
  { uid, accountId, amr, acr }: AdapterPayload,
  before: FoundSession | undefined,
  origin: Origin,
): NewEvent[] {
  if (!accountId) return []
  const about = { accountSub: accountId, sessionUid: uid }
  if (before?.payload.accountId !== accountId) {
    const type = isRemembered({ amr }) ? 'session.remembered' : 'session.created'
    return [newEvent(type, { ...about, detail: { amr, acr } }, origin)]
  }
  const anomaly = findAnomaly(before, origin)
  const detail = { address_before: before.address, user_agent_before: before.userAgent }
  return anomaly ? [newEvent(anomaly, { ...about, detail }, origin)] : []
}

/** The audit event of a request with a session that is over: of a browser that kept the cookie, or of a stolen copy. */
export function eventOfMisuse(
  status: 'revoked' | 'expired',
  found: FoundSession,
  { lifetimes, origin }: { lifetimes: SessionLifetimes; origin: Origin },
): NewEvent | undefined {
  if (!found.account) return undefined
  const about = { accountSub: found.account.sub, sessionUid: found.uid }
  if (status === 'revoked') return newEvent('session.used_after_end', about, origin)
  const detail = { limit: reachedLimit(found, lifetimes) }
  return newEvent('session.used_after_expiry', { ...about, detail }, origin)
}

/** The anomaly in the use of a session from this origin: another browser, or two networks within a minute. */
function findAnomaly(
  session: Pick<FoundSession, 'address' | 'userAgent' | 'seenAt' | 'readAt'>,
  { address, userAgent }: Origin,
): EventType | undefined {
  if (session.userAgent !== undefined && nameOf(session.userAgent) !== nameOf(userAgent))
    return 'session.second_browser'
  // A phone changes its network, but not within a minute of the last use.
  const isAtOnce = session.readAt.getTime() - session.seenAt.getTime() < MINUTE_SECONDS * 1000
  return isAtOnce && session.address !== undefined && siteOf(session.address) !== siteOf(address ?? '')
    ? 'session.second_network'
    : undefined
}

/** A browser's name without its versions, which change with every update. */
function nameOf(userAgent = ''): string {
  return userAgent.replace(/\d[\d._]*/g, '')
}
