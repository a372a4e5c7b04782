import { createLookup } from '../../db/batching.ts'
import type { Database } from '../../db/connections.ts'
import { prepareStatement } from '../../db/prepared-statement.ts'
import type { Payload } from '../../db/schema.ts'
import { ACCOUNT_COLUMNS, type Account, type AccountRow, toAccount } from '../account/account.ts'

/** A session with its account and the grants that it refers to, as one statement read them. */
export type FoundSession = Readonly<{
  uid: string
  payload: Payload
  accessEpoch: number
  seenAt: Date
  readAt: Date
  /** It reached its absolute or its idle limit. */
  isExpired: boolean
  /** Ended before its time: revoked, or replaced by another identifier (see `isReplaced`). */
  isEnded: boolean
  /** Another identifier replaced it, in the same session or the same browser, and that session is live. */
  isReplaced: boolean
  /** Recently replaced: requests in flight may still read it. */
  isReadable: boolean
  /** The time when it ended or was replaced. */
  endedAt: Date | undefined
  address: string | undefined
  userAgent: string | undefined
  account: Account | undefined
  grants: readonly Readonly<{ id: string; payload: Payload }>[]
}>

/** Creates the look-up of sessions by the hashes of their identifiers; concurrent requests share its statement. */
export function createSessionLookup(database: Database) {
  return createLookup((idHashes) => findSessions(database, [idHashes]), toFoundSession)
}

/** A replaced identifier is known by its successor: that row's session, or its own, must be live. */
const IS_REPLACED = `session.ended_at is not null and exists (
        select from oidc_session as live
        where live.uid = coalesce(successor.uid, session.uid) and live.ended_at is null
      )`

const GRANTS = `(
        select jsonb_agg(jsonb_build_object('id', oidc_grant.id, 'payload', oidc_grant.payload))::text from oidc_grant
        where oidc_grant.expires_at > now()
          and oidc_grant.id in (select value ->> 'grantId' from jsonb_each(session.payload -> 'authorizations'))
      )`

const findSessions = prepareStatement<SessionRow>(
  'session_find',
  `select session.id_hash, session.uid, session.payload::text as payload, session.access_epoch as session_access_epoch,
      session.ended_at is not null or session.access_epoch <> coalesce(account.access_epoch, 0) as is_ended,
      ${IS_REPLACED} as is_replaced,
      coalesce(session.readable_until > now() and session.access_epoch = account.access_epoch, false) as is_readable,
      session.ended_at, session.expires_at <= now() as is_expired, now() as read_at,
      session.address, session.user_agent, session.seen_at, ${ACCOUNT_COLUMNS}, ${GRANTS} as grants
    from oidc_session as session left join account on account.sub = session.account_sub
      left join oidc_session as successor on successor.id_hash = session.successor_hash
    where session.id_hash = any($1::bytea[])`,
)

type SessionRow = Omit<AccountRow, 'sub'> & {
  id_hash: Uint8Array
  uid: string
  payload: string
  session_access_epoch: number
  is_ended: boolean
  is_replaced: boolean
  is_readable: boolean
  ended_at: Date | null
  is_expired: boolean
  read_at: Date
  address: string | null
  user_agent: string | null
  seen_at: Date
  sub: string | null
  grants: string | null
}

/** Parses the JSON for each caller, because the engine modifies the objects that it gets. */
function toFoundSession(row: SessionRow): FoundSession {
  const { sub } = row
  return {
    uid: row.uid,
    payload: JSON.parse(row.payload),
    accessEpoch: row.session_access_epoch,
    isEnded: row.is_ended,
    isReplaced: row.is_replaced,
    isReadable: row.is_replaced && row.is_readable,
    endedAt: row.ended_at ?? undefined,
    isExpired: row.is_expired,
    readAt: row.read_at,
    address: row.address ?? undefined,
    userAgent: row.user_agent ?? undefined,
    seenAt: row.seen_at,
    account: sub === null ? undefined : toAccount({ ...row, sub }),
    grants: row.grants === null ? [] : JSON.parse(row.grants),
  }
}
