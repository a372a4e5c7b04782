import type { Database } from '../../db/connections.ts'
import { type ExpiredRows, expiredRowsOf, secondsAgo } from '../../db/expired-rows.ts'
import { prepareStatement } from '../../db/prepared-statement.ts'

/** How sessions leave that expired: those that nobody ended are recorded as expired. */
export function sessionExpiry(database: Database): ExpiredRows {
  return {
    ...expiredRowsOf(database, 'oidc_session'),
    async deleteExpired(ageSeconds, limit) {
      const [row] = await deleteExpiredSessions(database, [ageSeconds, limit])
      return row?.deleted ?? 0
    },
  }
}

const deleteExpiredSessions = prepareStatement<{ deleted: number }>(
  'session_delete_expired',
  `with gone as (
      delete from oidc_session where ctid = any(array(
        select ctid from oidc_session where expires_at <= ${secondsAgo('$1')}
        order by expires_at limit $2 for update skip locked
      )) returning uid, account_sub, ended_at, expires_at
    ), recorded as (
      insert into event (type, account_sub, session_uid, detail)
      select distinct on (uid) 'session.expired', account_sub, uid, jsonb_build_object('expired_at', expires_at)
      from gone where ended_at is null and account_sub is not null
    ) select count(*)::int as deleted from gone`,
)
