import { insertEventsOf } from '../../audit/event.ts'
import type { Database } from '../../db/connections.ts'
import { prepareCount, prepareStatement } from '../../db/prepared-statement.ts'
import type { SigningAlg } from '../client/signing-key.ts'
import { createPendingCount, nextAttempt } from './outbox.ts'

/** A back-channel logout that this worker has leased. */
export type DueLogout = Readonly<{
  /** Also the logout token's `jti`, the same at each attempt. */
  id: string
  clientId: string
  /** The client's `backchannel_logout_uri`. */
  uri: string
  /** The client's `id_token_signed_response_alg`. */
  alg: SigningAlg
  accountSub: string
  sid: string | undefined
  /** The number of attempts, this one included. */
  attempts: number
}>

export type BackchannelLogoutStore = ReturnType<typeof createBackchannelLogoutStore>

/**
 * The outbox of back-channel logout. Revocation inserts the rows (`revocation/fragments.ts`); they are deleted when the
 * client has confirmed, or has not confirmed in time.
 */
export function createBackchannelLogoutStore(database: Database) {
  return {
    /**
     * Leases due rows. The lease is the time of the next attempt: the row of a worker that died is sent again, and
     * concurrent workers get different rows. Rows of a disabled client wait.
     *
     * @param mostOfOne the most rows of one client, so that its queue does not take every place.
     * @param except clients that have enough rows in work.
     */
    async claim(most: number, mostOfOne: number, except: readonly string[]): Promise<DueLogout[]> {
      const rows = await claimDue(database, [most, mostOfOne, except])
      return rows.map(({ sid, ...row }) => ({ ...row, sid: sid ?? undefined }))
    },

    /** Deletes the row of a client that confirmed the logout, and records that. */
    async confirm(id: string): Promise<void> {
      await confirmOne(database, [id])
    },

    /** Deletes rows that were not confirmed in time, and records that. @returns the number of deleted rows, at most `limit`. */
    giveUp: (ageSeconds: number, limit: number): Promise<number> =>
      giveUpOldest(database, [ageSeconds, limit]),

    countPending: createPendingCount(database, 'backchannel_logout'),
  }
}

/** Longer than a client may take to answer. */
const FIRST_PAUSE_SECONDS = 5

type DueRow = Omit<DueLogout, 'sid'> & { sid: string | null }

const claimDue = prepareStatement<DueRow>(
  'backchannel_logout_claim',
  `with due as materialized (
      select row.id, client.metadata
      from oidc_client as client cross join lateral (
        select id, next_attempt_at from backchannel_logout
        where client_id = client.client_id and next_attempt_at <= now()
        order by next_attempt_at limit $2
        for update skip locked
      ) as row
      where client.metadata ? 'backchannel_logout_uri' and client.metadata ->> 'disabled' is distinct from 'true'
        and client.client_id <> all($3::text[])
      order by row.next_attempt_at limit $1
    )
    update backchannel_logout as logout
    set attempts = logout.attempts + 1, next_attempt_at = ${nextAttempt('logout.attempts', FIRST_PAUSE_SECONDS)}
    from due where logout.id = due.id
    returning logout.id, logout.client_id as "clientId", due.metadata ->> 'backchannel_logout_uri' as uri,
      coalesce(due.metadata ->> 'id_token_signed_response_alg', 'RS256') as alg, logout.account_sub as "accountSub",
      case when due.metadata ->> 'backchannel_logout_session_required' = 'false' then null else logout.sid end as sid,
      logout.attempts`,
)

/** The columns of the event of a row in the CTE `deleted`. */
const EVENT_COLUMNS = {
  account_sub: 'account_sub',
  client_id: 'client_id',
  detail: `jsonb_build_object('jti', id, 'attempts', attempts)`,
}

const confirmOne = prepareStatement(
  'backchannel_logout_confirm',
  `with deleted as (
      delete from backchannel_logout where id = $1 returning id, account_sub, client_id, attempts
    ) ${insertEventsOf('backchannel_logout.delivered', EVENT_COLUMNS, 'deleted')}`,
)

const giveUpOldest = prepareCount(
  'backchannel_logout_give_up',
  `with deleted as (
      delete from backchannel_logout where id in (
        select id from backchannel_logout where created_at < now() - make_interval(secs => $1)
        limit $2 for update skip locked
      ) returning id, account_sub, client_id, attempts
    ), recorded as (${insertEventsOf('backchannel_logout.given_up', EVENT_COLUMNS, 'deleted')})
    select count(*)::int as count from deleted`,
)
