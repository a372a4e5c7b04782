import type { Database } from '../../db/connections.ts'
import { prepareStatement } from '../../db/prepared-statement.ts'

/** Tables of what somebody still has to be told. */
type OutboxTable = 'backchannel_logout' | 'mail'

/**
 * The time of the next attempt, which is the lease of this one: some `seconds` after the first attempt, three times as
 * long after each further one, and never more than an hour.
 */
export const nextAttempt = (attempts: string, seconds: number): string =>
  `now() + make_interval(secs => least(3600, ${seconds} * 3 ^ least(${attempts}, 6) * (1 + random() / 5)))`

/** Counts what has not left yet, up to `most`. */
export function createPendingCount(
  database: Database,
  table: OutboxTable,
): (most: number) => Promise<number> {
  const countPending = prepareStatement<{ count: number }>(
    `${table}_count`,
    `select count(*)::int as count from (select from ${table} limit $1) as counted`,
  )
  return async (most) => {
    const [row] = await countPending(database, [most])
    return row?.count ?? 0
  }
}
