import { LRUCache } from 'lru-cache'
import type { ChangeNotifications, WatchedTable } from './change-notification.ts'

/** The largest number of cached rows, and of cached misses. */
const MOST_ENTRIES = 1_000

type Entry<Row> = { row: Promise<Row | undefined>; readAt: number }
type Watched = { table: WatchedTable; notifications: ChangeNotifications }

/**
 * Caches rows of a watched table. Misses use a separate LRU and cannot evict hits.
 *
 * @returns `find`, which reads through the cache, and `invalidateAfter`, which wraps a change made by this process so
 *   that the next `find` reads the new row.
 */
export function createRowCache<Row extends object>(
  find: (id: string) => Promise<Row | undefined>,
  { table, notifications }: Watched,
) {
  const found = new LRUCache<string, Entry<Row>>({ max: MOST_ENTRIES })
  const missing = new LRUCache<string, Entry<Row>>({ max: MOST_ENTRIES })
  const clear = () => {
    found.clear()
    missing.clear()
  }
  notifications.subscribe(table, clear)

  return {
    find(id: string): Promise<Row | undefined> {
      const cached = found.get(id) ?? missing.get(id)
      if (cached && performance.now() - cached.readAt < notifications.maxAgeMilliseconds()) return cached.row
      // Cached while it is being read: a change during the read drops the entry, so the next call reads again.
      const entry = { row: find(id), readAt: performance.now() }
      found.delete(id)
      missing.set(id, entry)
      entry.row.then(
        (row) => {
          if (row === undefined || missing.peek(id) !== entry) return
          missing.delete(id)
          found.set(id, entry)
        },
        () => {
          if (missing.peek(id) === entry) missing.delete(id)
        },
      )
      return entry.row
    },

    invalidateAfter<Parameters extends unknown[], Result>(
      change: (...parameters: Parameters) => Promise<Result>,
    ) {
      return async (...parameters: Parameters): Promise<Result> => {
        try {
          return await change(...parameters)
        } finally {
          notifications.notifyLocally(table)
        }
      }
    },
  }
}
