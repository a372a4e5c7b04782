import type { Log } from '../../log.ts'
import type { Metrics } from '../../metrics.ts'
import { type Clock, MINUTE_SECONDS } from '../../time.ts'
import type { Overload } from './listener.ts'

type Needs = { log: Log; metrics: Pick<Metrics, 'requestsRefused'>; now: Clock }

/**
 * Counts requests that the listener refuses, and logs the count once a minute: these requests have no log line of their
 * own.
 */
export function createOverloadNotices({ log, metrics, now }: Needs): (overload: Overload) => void {
  const unlogged = { pipelined: 0, in_flight: 0 }
  let loggedAt = Number.NEGATIVE_INFINITY

  return (overload) => {
    metrics.requestsRefused.inc({ reason: overload })
    unlogged[overload]++
    if (now().getTime() - loggedAt < MINUTE_SECONDS * 1000) return
    loggedAt = now().getTime()
    log.warn({ event: 'requests.refused', ...unlogged })
    unlogged.pipelined = unlogged.in_flight = 0
  }
}
