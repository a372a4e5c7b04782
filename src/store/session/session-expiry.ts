import { insertEventsOf } from '../../audit/event.ts'
import type { Database } from '../../db/connections.ts'
import { type ExpiredRows, expiredRowsOf, secondsAgo } from '../../db/expired-rows.ts'
import { prepareCount } from '../../db/prepared-statement.ts'

/** Deletes expired sessions, and records `session.expired` for those that were not revoked. */
export function sessionExpiry(database: Database): ExpiredRows {
  return {
    ...expiredRowsOf(database, 'oidc_session'),
    deleteExpired: (ageSeconds, limit) => deleteExpiredSessions(database, [ageSeconds, limit]),
  }
}

const deleteExpiredSessions = prepareCount(
  'session_delete_expired',
  `with deleted as (
      delete from oidc_session where ctid = any(array(
        select ctid from oidc_session where expires_at <= ${secondsAgo('$1')}
        order by expires_at limit $2 for update skip locked
      )) returning uid, account_sub, ended_at, expires_at
    ), recorded as (${insertEventsOf(
      'session.expired',
      {
        account_sub: 'account_sub',
        session_uid: 'uid',
        detail: `jsonb_build_object('expired_at', expires_at)`,
      },
      '(select distinct on (uid) * from deleted where ended_at is null and account_sub is not null) as session',
    )})
    select count(*)::int as count from deleted`,
)
