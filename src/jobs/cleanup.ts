import { setTimeout as pause } from 'node:timers/promises'
import type { ExpiredRows } from '../db/expired-rows.ts'
import type { RunAlone } from '../db/worker-lock.ts'
import { MINUTE_SECONDS } from '../time.ts'

/** Rows stay this long after they expired: the engine tells an expired code from an unknown one, and detects replays. */
const GRACE_SECONDS = 30 * MINUTE_SECONDS
const BATCH_ROWS = 500
const PAUSE_MILLISECONDS = 20
/** A backlog is counted up to here: beyond, it is large, and counting it would cost more than knowing it is worth. */
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

/** How many rows of each table had expired. */
export type CleanupReport = Record<Table, number>

/** Expired rows. Tables in `capped` hold more than the number says. */
export type Backlog = { rows: CleanupReport; capped: Table[] }

type Needs = {
  tables: Record<Table, ExpiredRows>
  runAlone: RunAlone
  /** What happened stays on record this long. */
  eventRetentionSeconds: number
}

export type Cleanup = ReturnType<typeof createCleanup>

/** Deletes rows that expired, in small batches with pauses, so that nobody else waits for long. */
export function createCleanup({ tables, runAlone, eventRetentionSeconds }: Needs) {
  return {
    /** @returns undefined when another worker is at it. */
    run: (signal?: AbortSignal): Promise<CleanupReport | undefined> =>
      // Tokens first: a grant's own deletion would cascade over all of its tokens in one statement.
      runAlone(() => forEachTable((table) => deleteAll(table, signal))),

    /** What {@link run} would delete, each table counted up to {@link MOST_COUNTED} rows. */
    async count(): Promise<Backlog> {
      const capped: Table[] = []
      const rows = await forEachTable(async (table) => {
        // Counts one more than reported, to tell a backlog of exactly that size from a larger one.
        const counted = await tables[table].countExpired(ageOf(table), MOST_COUNTED + 1)
        if (counted > MOST_COUNTED) capped.push(table)
        return Math.min(counted, MOST_COUNTED)
      })
      return { rows, capped }
    },

    /**
     * Answers that could be repeated are deleted as soon as they cannot be. Every instance does so: rows that another
     * one is deleting are passed over.
     */
    forgetAnswers: (signal?: AbortSignal): Promise<number> => deleteAll('answers', signal),
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
  const report: CleanupReport = {
    tokens: 0,
    sessions: 0,
    browsers: 0,
    artifacts: 0,
    answers: 0,
    grants: 0,
    attempts: 0,
    links: 0,
    events: 0,
  }
  for (const table of TABLES) report[table] = await work(table)
  return report
}
