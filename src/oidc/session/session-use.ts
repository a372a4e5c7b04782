import type { Origin } from '../../audit/event.ts'
import type { EventType } from '../../audit/event-type.ts'
import { siteOf } from '../../rate-limiting/network.ts'
import type { FoundSession } from '../../store/session/found-session.ts'
import { MINUTE_SECONDS } from '../../time.ts'

/** How a remembered browser was signed in: says in `amr` that nobody proved anything (RFC 8176 leaves room for it). */
export const REMEMBERED_AMR = 'remembered'

type Authentication = { amr?: unknown; iat?: unknown; loginTs?: unknown }

/** Whether nobody proved who they are since the browser was recognised. */
export function isRemembered(session: Authentication | undefined): boolean {
  return Array.isArray(session?.amr) && session.amr.includes(REMEMBERED_AMR)
}

/** When a session began: with the proof of who it is, or, in a remembered browser, when that was recognised. */
export function startOf(session: Authentication): number {
  return Number((isRemembered(session) ? session.iat : session.loginTs) ?? session.iat ?? 0)
}

/** What is odd about the use of a session from here; undefined when nothing is. */
export function oddityOf(
  session: Pick<FoundSession, 'address' | 'userAgent' | 'seenAt' | 'readAt'>,
  { address, userAgent }: Origin,
): EventType | undefined {
  if (session.userAgent !== undefined && nameOf(session.userAgent) !== nameOf(userAgent))
    return 'session.second_browser'
  // People carry their phones from one network to another; two at once are something else.
  const isAtOnce = session.readAt.getTime() - session.seenAt.getTime() < MINUTE_SECONDS * 1000
  return isAtOnce && session.address !== undefined && siteOf(session.address) !== siteOf(address ?? '')
    ? 'session.second_network'
    : undefined
}

/** A browser's name of itself without its versions: an update makes it no other. */
function nameOf(userAgent = ''): string {
  return userAgent.replace(/\d[\d._]*/g, '')
}
