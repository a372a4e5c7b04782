import { LRUCache } from 'lru-cache'
import type { Changes, WatchedTable } from './change-notification.ts'

/** Rows kept at most, and as many identifiers that were looked for and not found. */
const MOST_ENTRIES = 1_000

type Entry<Row> = { row: Promise<Row | undefined>; readAt: number }

/**
 * Keeps rows of a watched table in memory. What was not found is kept, too, apart from what was: whoever asks for
 * names that do not exist drives nobody else's out.
 *
 * @returns a look-up in memory, and a way to make a change through the store: after it, this process reads anew.
 */
export function createCache<Row extends object>(
  find: (id: string) => Promise<Row | undefined>,
  { table, changes }: { table: WatchedTable; changes: Changes },
) {
  const found = new LRUCache<string, Entry<Row>>({ max: MOST_ENTRIES })
  const missing = new LRUCache<string, Entry<Row>>({ max: MOST_ENTRIES })
  const forget = () => {
    found.clear()
    missing.clear()
  }
  changes.subscribe(table, forget)

  return {
    find(id: string): Promise<Row | undefined> {
      const kept = found.get(id) ?? missing.get(id)
      if (kept && performance.now() - kept.readAt < changes.maxAgeMilliseconds()) return kept.row
      // Kept while it is being read: a change that comes meanwhile drops it, and whoever asks next reads anew.
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

    changing<Parameters extends unknown[], Result>(change: (...parameters: Parameters) => Promise<Result>) {
      return async (...parameters: Parameters): Promise<Result> => {
        try {
          return await change(...parameters)
        } finally {
          changes.announce(table)
        }
      }
    },
  }
}
