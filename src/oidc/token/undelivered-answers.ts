import { LRUCache } from 'lru-cache'
import type { Undelivered } from '../../store/token/uptime.ts'

const MOST = 10_000
/** Reports until an answer is dropped: by then its interrupted commit is visible, or never happened. */
const MOST_REPORTS = 10

export type UndeliveredAnswers = ReturnType<typeof createUndeliveredAnswers>

/**
 * Refresh answers that this instance made and could not send, because the database connection or the client was lost
 * after the commit was sent. A late retry would look like a replay, so the heartbeat reports them to the database.
 */
export function createUndeliveredAnswers() {
  const waiting = new LRUCache<string, Undelivered & { reports: number }>({ max: MOST })
  const key = (spentHash: Uint8Array) => Buffer.from(spentHash).toString('base64url')
  return {
    add(answer: Undelivered): void {
      waiting.set(key(answer.spentHash), { ...answer, reports: 0 })
    },

    /** Removes an answer that was delivered after all. */
    forget(spentHash: Uint8Array): void {
      waiting.delete(key(spentHash))
    },

    list: (): Undelivered[] => [...waiting.values()],

    /**
     * Removes the answers that are settled.
     *
     * @param reported the answers that were reported.
     * @param found the spent tokens of those whose commit exists.
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
