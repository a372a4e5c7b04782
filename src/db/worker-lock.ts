import { sql } from 'kysely'
import type { Database } from './connections.ts'

/** Runs something unless another instance is running it: gives undefined then, at once. */
export type RunAlone = <Result>(work: () => Promise<Result>) => Promise<Result | undefined>

/** Any number that nobody else takes for a lock in this database. */
const LOCK_KEY = 0x5a11_9047

/** One worker over all instances on a Postgres server: an advisory lock, which ends with its connection at the latest. */
export function createWorkerLock(database: Database): RunAlone {
  return async (work) =>
    await database.connection().execute(async (connection) => {
      const { rows } = await sql<{
        locked: boolean
      }>`select pg_try_advisory_lock(${LOCK_KEY}) as locked`.execute(connection)
      if (!rows[0]?.locked) return undefined
      try {
        return await work()
      } finally {
        await sql`select pg_advisory_unlock(${LOCK_KEY})`.execute(connection)
      }
    })
}

/** The embedded database has one process: it need only wait for itself. */
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
