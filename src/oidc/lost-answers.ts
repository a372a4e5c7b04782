import { LRUCache } from 'lru-cache'
import { MINUTE_SECONDS } from '../time.ts'

const MOST = 10_000
const KEEP_SECONDS = 10 * MINUTE_SECONDS

export type LostAnswers = ReturnType<typeof createLostAnswers>

/**
 * Answers to refreshes whose commit was sent, and then the database was gone: nobody knows whether it counts. The client
 * was told to come again. If that takes longer than the window for repeated answers, its token would pass for stolen; so
 * this instance, which alone can know better, keeps the answer, sealed.
 */
export function createLostAnswers() {
  const lost = new LRUCache<string, { commitId: string; sealed: Uint8Array }>({
    max: MOST,
    ttl: KEEP_SECONDS * 1000,
  })
  const key = (spentHash: Uint8Array) => Buffer.from(spentHash).toString('base64url')
  return {
    keep(spentHash: Uint8Array, commitId: string, sealed: Uint8Array): void {
      lost.set(key(spentHash), { commitId, sealed })
    },

    /** @param consumedBy the commit that spent the token: another than ours, and the token was indeed stolen. */
    find(spentHash: Uint8Array, consumedBy: string | undefined): Uint8Array | undefined {
      const entry = lost.get(key(spentHash))
      return entry && entry.commitId === consumedBy ? entry.sealed : undefined
    },
  }
}
