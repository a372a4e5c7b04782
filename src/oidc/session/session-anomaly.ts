import type { Origin } from '../../audit/event.ts'
import type { EventType } from '../../audit/event-type.ts'
import { siteOf } from '../../rate-limiting/network.ts'
import type { FoundSession } from '../../store/session/found-session.ts'
import { MINUTE_SECONDS } from '../../time.ts'

/** The anomaly in the use of a session from this origin: another browser, or two networks within a minute. */
export function findAnomaly(
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
