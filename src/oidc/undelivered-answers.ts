import { LRUCache } from 'lru-cache'
import type { Undelivered } from '../store/uptime.ts'

const MOST = 10_000
/** A commit that was under way when its connection was lost is found by then, or never happened. */
const MOST_REPORTS = 10

export type UndeliveredAnswers = ReturnType<typeof createUndeliveredAnswers>

/**
 * Answers to refreshes that this instance made and could not send: their commit was sent and then the database was gone, or
 * the client was. Their tokens would pass for stolen when the client comes again late, so the heartbeat notes them.
 */
export function createUndeliveredAnswers() {
  const waiting = new LRUCache<string, Undelivered & { reports: number }>({ max: MOST })
  const key = (spentHash: Uint8Array) => Buffer.from(spentHash).toString('base64url')
  return {
    add(answer: Undelivered): void {
      waiting.set(key(answer.spentHash), { ...answer, reports: 0 })
    },

    /** The client got the answer after all. */
    forget(spentHash: Uint8Array): void {
      waiting.delete(key(spentHash))
    },

    list: (): Undelivered[] => [...waiting.values()],

    /**
     * Forgets what is noted.
     *
     * @param reported what the database was told of.
     * @param found which of these it knows the commit of.
     */
    settle(reported: readonly Undelivered[], found: readonly Uint8Array[]): void {
      for (const spentHash of found) waiting.delete(key(spentHash))
      for (const { spentHash, commitId } of reported) {
        const entry = waiting.get(key(spentHash))
        if (entry?.commitId !== commitId) continue
        if (entry.reports >= MOST_REPORTS) waiting.delete(key(spentHash))
        entry.reports++
      }
    },
  }
}
