import type { Lifetimes } from '../../config/config.ts'
import { toEpochSeconds } from '../../time.ts'
import { startOf } from './session-use.ts'

/**
 * The engine's lifetime of a session: the idle time or the time left until its cap, and at least the second that the
 * engine requires. The stored session ends at the cap (adapter/session.ts).
 */
export function sessionSeconds(
  session: Parameters<typeof startOf>[0],
  { sessionIdleSeconds, sessionAbsoluteSeconds }: Lifetimes,
  now: Date,
): number {
  const untilCap = startOf(session) + sessionAbsoluteSeconds - toEpochSeconds(now)
  return Math.max(1, Math.min(sessionIdleSeconds, untilCap))
}
