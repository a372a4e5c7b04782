import { sql } from 'kysely'
import type { Database } from './connections.ts'

/** Runs a job, unless another instance is running it; then it resolves to undefined at once. */
export type RunAlone = <Result>(work: () => Promise<Result>) => Promise<Result | undefined>

/** The key of the advisory lock: arbitrary, and unused by anything else in this database. */
const LOCK_KEY = 0x5a11_9047

/** Allows one worker over all instances by an advisory lock of Postgres, which ends with its connection at the latest. */
export function createWorkerLock(database: Database): RunAlone {
  return async (work) =>
    await database.connection().execute(async (connection) => {
      const locking = sql<{ locked: boolean }>`select pg_try_advisory_lock(${LOCK_KEY}) as locked`
      const { rows } = await locking.execute(connection)
      if (!rows[0]?.locked) return undefined
      try {
        return await work()
      } finally {
        await sql`select pg_advisory_unlock(${LOCK_KEY})`.execute(connection)
      }
    })
}

/** The lock for the embedded database, which serves one process. */
export function createLocalWorkerLock(): RunAlone {
  let isRunning = false
  return async (work) => {
    if (isRunning) return undefined
    isRunning = true
    try {
      return await work()
    } finally {
      isRunning = false
    }
  }
}
