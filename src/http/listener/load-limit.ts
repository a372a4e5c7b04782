import type { IncomingMessage } from 'node:http'
import type { Log } from '../../log.ts'
import type { Metrics } from '../../metrics.ts'
import { type Clock, MINUTE_SECONDS } from '../../time.ts'

/**
 * Bounds the requests in progress over all connections: further ones would wait longer than their clients do, and hold
 * memory meanwhile.
 */
type LoadLimit = Readonly<{
  isReached(): boolean
  /** Counts a request until its work is done, also when its client has disconnected. */
  track(request: IncomingMessage, work: Promise<void>): void
  /** Resolves when no request is in progress. */
  idle(): Promise<void>
}>

export function createLoadLimit(atMost: number): LoadLimit {
  const running = new Map<IncomingMessage, Promise<void>>()

  return {
    isReached() {
      if (running.size < atMost) return false
      let worked = 0
      for (const request of running.keys()) if (!isAwaitingBody(request)) worked++
      return worked >= atMost
    },
    track(request, work) {
      const remove = () => void running.delete(request)
      running.set(request, work.then(remove, remove))
    },
    async idle() {
      while (running.size > 0) await Promise.allSettled(running.values())
    },
  }
}

/** A request whose body is still arriving costs a connection but no work, so it does not count against the limit. */
function isAwaitingBody({ complete, destroyed }: IncomingMessage): boolean {
  return !complete && !destroyed
}

/** Why the listener rejected a request before any work was done for it. */
export type Overload = 'pipelined' | 'in_flight'

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
