import pLimit, { type LimitFunction } from 'p-limit'

/**
 * One at a time for each key, or so many at once, in the order in which they come; those of other keys do not wait.
 *
 * @param waitingAtMost for one key. Who comes then is not let in: `undefined`.
 */
export function createKeyedQueue({ atOnce = 1, waitingAtMost }: { atOnce?: number; waitingAtMost: number }) {
  const lines = new Map<string, LimitFunction>()
  const isFull = (key: string): boolean => (lines.get(key)?.pendingCount ?? 0) >= waitingAtMost

  return {
    isFull,

    async take<Result>(key: string, work: () => Promise<Result>): Promise<Result | undefined> {
      if (isFull(key)) return undefined
      const line = lines.get(key) ?? pLimit(atOnce)
      lines.set(key, line)
      try {
        return await line(work)
      } finally {
        if (line.pendingCount === 0 && line.activeCount === 0) lines.delete(key)
      }
    },

    /** How many wait for one key, or for all keys. */
    countWaiting(key?: string): number {
      if (key !== undefined) return lines.get(key)?.pendingCount ?? 0
      return [...lines.values()].reduce((sum, { pendingCount }) => sum + pendingCount, 0)
    },
  }
}
