import type { Database } from '../../db/connections.ts'
import { prepareCount } from '../../db/prepared-statement.ts'

/*
 * The room store/outbox: the tables of the transactional outbox, mail and back-channel logout. Their rows are written in
 * the transaction of a change, and leased, delivered and deleted by a worker of the room outbox.
 */

/** Tables of the transactional outbox: rows that a worker still has to deliver. */
type OutboxTable = 'backchannel_logout' | 'mail'

/**
 * SQL: the time of the next attempt, which is the lease of the current one. The back-off starts at `seconds`, triples with
 * each attempt up to an hour, and has up to a fifth of jitter.
 */
export const nextAttempt = (attempts: string, seconds: number): string =>
  `now() + make_interval(secs => least(3600, ${seconds} * 3 ^ least(${attempts}, 6) * (1 + random() / 5)))`

/** Creates the count of undelivered rows, up to `most`. */
export function createPendingCount(database: Database, table: OutboxTable) {
  const countPending = prepareCount(
    `${table}_count`,
    `select count(*)::int as count from (select from ${table} limit $1) as counted`,
  )
  return (most: number): Promise<number> => countPending(database, [most])
}
