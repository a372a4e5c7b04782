import { setTimeout as pause } from 'node:timers/promises'
import type { ExpiredRows } from '../db/expired-rows.ts'
import type { RunAlone } from '../db/worker-lock.ts'
import { MINUTE_SECONDS } from '../time.ts'

/** Expired rows are kept this long: the engine distinguishes expired from unknown codes, and detects replays. */
const GRACE_SECONDS = 30 * MINUTE_SECONDS
const BATCH_ROWS = 500
const PAUSE_MILLISECONDS = 20
/** Counting a larger backlog exactly would cost more than the number is worth. */
const MOST_COUNTED = 100_000

const TABLES = [
  'tokens',
  'sessions',
  'browsers',
  'artifacts',
  'answers',
  'grants',
  'attempts',
  'links',
  'events',
] as const

type Table = (typeof TABLES)[number]

export type CleanupReport = Record<Table, number>

/** Expired rows by table. Tables in `capped` have more than the number says. */
type Backlog = { rows: CleanupReport; capped: Table[] }

type Needs = {
  tables: Record<Table, ExpiredRows>
  runAlone: RunAlone
  eventRetentionSeconds: number
}

export type Cleanup = ReturnType<typeof createCleanup>

/** Deletes expired rows, in small batches with pauses, so that requests never wait long for a lock. */
export function createCleanup({ tables, runAlone, eventRetentionSeconds }: Needs) {
  return {
    /** @returns undefined when another worker is cleaning up. */
    run: (signal?: AbortSignal): Promise<CleanupReport | undefined> =>
      // Tokens first: deleting a grant would delete all its tokens in one statement.
      runAlone(() => forEachTable((table) => deleteAll(table, signal))),

    /** Counts the rows that {@link run} would delete, up to {@link MOST_COUNTED} in each table. */
    async count(): Promise<Backlog> {
      const capped: Table[] = []
      const rows = await forEachTable(async (table) => {
        // Counting one more than reported distinguishes that number from a larger one.
        const counted = await tables[table].countExpired(ageOf(table), MOST_COUNTED + 1)
        if (counted > MOST_COUNTED) capped.push(table)
        return Math.min(counted, MOST_COUNTED)
      })
      return { rows, capped }
    },

    /** Deletes stored refresh responses once they can no longer be replayed. Instances skip rows that others delete. */
    deleteAnswers: (signal?: AbortSignal): Promise<number> => deleteAll('answers', signal),
  }

  async function deleteAll(table: Table, signal: AbortSignal | undefined): Promise<number> {
    let deleted = 0
    while (!signal?.aborted) {
      const batch = await tables[table].deleteExpired(ageOf(table), BATCH_ROWS)
      deleted += batch
      if (batch < BATCH_ROWS) break
      await pause(PAUSE_MILLISECONDS)
    }
    return deleted
  }

  /** The age from which rows (since expiry) or events (since occurrence) are deleted. */
  function ageOf(table: Table): number {
    return table === 'events' ? eventRetentionSeconds : table === 'answers' ? 0 : GRACE_SECONDS
  }
}

async function forEachTable(work: (table: Table) => Promise<number>): Promise<CleanupReport> {
  const report: [Table, number][] = []
  for (const table of TABLES) report.push([table, await work(table)])
  return Object.fromEntries(report) as CleanupReport
}
