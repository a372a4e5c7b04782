import type { Database } from './database.ts'
import { defineStatement } from './statement.ts'

/** Tables whose rows say when they end. */
type ExpiringTable =
  | 'oidc_grant'
  | 'oidc_token'
  | 'oidc_session'
  | 'oidc_artifact'
  | 'oidc_refresh_answer'
  | 'remembered_browser'
  | 'attempt'
  | 'mail_link'

export type Expiry = {
  /** @returns how many rows went; at most `limit`. Rows that somebody holds are left for the next time. */
  deleteExpired(before: Date, limit: number): Promise<number>
  /** Counts rows that have expired, up to `most`. */
  countExpired(before: Date, most: number): Promise<number>
}

/** How a table loses the rows that expired before an instant. */
export function expiryOf(database: Database, table: ExpiringTable): Expiry {
  const deleteRows = defineStatement<{ deleted: number }>(
    `${table}_delete_expired`,
    `with gone as (
      delete from ${table} where ctid = any(array(
        select ctid from ${table} where expires_at < to_timestamp($1) order by expires_at limit $2 for update skip locked
      )) returning 1
    ) select count(*)::int as deleted from gone`,
  )
  const countRows = defineStatement<{ count: number }>(
    `${table}_count_expired`,
    `select count(*)::int as count from (select from ${table} where expires_at < to_timestamp($1) limit $2) as counted`,
  )
  return {
    async deleteExpired(before, limit) {
      const [row] = await deleteRows(database, [before.getTime() / 1000, limit])
      return row?.deleted ?? 0
    },
    async countExpired(before, most) {
      const [row] = await countRows(database, [before.getTime() / 1000, most])
      return row?.count ?? 0
    },
  }
}
