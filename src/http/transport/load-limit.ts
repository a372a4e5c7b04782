import type { IncomingMessage } from 'node:http'

/**
 * Bounds the requests that are worked on at once, over all connections: beyond, each would wait longer than its client
 * does, and hold memory meanwhile.
 */
export type LoadLimit = Readonly<{
  isReached(): boolean
  /** Counts a request until its work is done, whether or not its client still waits for the answer. */
  track(request: IncomingMessage, work: Promise<void>): void
  /** Resolves when no work is going on. */
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

/** Slow senders of bodies cost a connection each, and no work: they must not take the places of others. */
function isAwaitingBody({ complete, destroyed }: IncomingMessage): boolean {
  return !complete && !destroyed
}
