import type { IncomingMessage } from 'node:http'

/**
 * Bounds the requests in progress over all connections: further ones would wait longer than their clients do, and hold
 * memory meanwhile.
 */
export type LoadLimit = Readonly<{
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
