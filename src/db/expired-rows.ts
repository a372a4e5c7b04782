import { type RawBuilder, sql } from 'kysely'
import type { Database } from './connections.ts'
import { prepareCount } from './prepared-statement.ts'

/** Tables with a column `expires_at`. */
type ExpiringTable =
  | 'oidc_grant'
  | 'oidc_token'
  | 'oidc_session'
  | 'oidc_artifact'
  | 'oidc_refresh_answer'
  | 'remembered_browser'
  | 'attempt'
  | 'mail_link'

export type ExpiredRows = {
  /**
   * Deletes rows that expired at least `ageSeconds` ago, by the database's clock.
   *
   * @returns the number of deleted rows, at most `limit`. Locked rows are left for the next run.
   */
  deleteExpired(ageSeconds: number, limit: number): Promise<number>
  /** Counts rows that expired at least `ageSeconds` ago, up to `most`. */
  countExpired(ageSeconds: number, most: number): Promise<number>
}

/** SQL: the instant so many seconds ago, by the database's clock. */
export const secondsAgo = (parameter: string): string => `now() - make_interval(secs => ${parameter}::float8)`

/** SQL: the instant so many seconds from now, by the database's clock. */
export function secondsFromNow(seconds: number): RawBuilder<Date> {
  return sql<Date>`now() + make_interval(secs => ${seconds}::float8)`
}

/** Creates the clean-up of a table, by its column `expires_at`. */
export function expiredRowsOf(database: Database, table: ExpiringTable): ExpiredRows {
  const deleteRows = prepareCount(
    `${table}_delete_expired`,
    `with deleted as (
      delete from ${table} where ctid = any(array(
        select ctid from ${table} where expires_at <= ${secondsAgo('$1')} order by expires_at limit $2 for update skip locked
      )) returning 1
    ) select count(*)::int as count from deleted`,
  )
  const countRows = prepareCount(
    `${table}_count_expired`,
    `select count(*)::int as count from (select from ${table} where expires_at <= ${secondsAgo('$1')} limit $2) as counted`,
  )
  return {
    deleteExpired: (ageSeconds, limit) => deleteRows(database, [ageSeconds, limit]),
    countExpired: (ageSeconds, most) => countRows(database, [ageSeconds, most]),
  }
}
