import { insertNewEvents, type NewEvent, type Origin } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import type { Database } from '../../db/connections.ts'
import { prepareStatement } from '../../db/prepared-statement.ts'
import type { Payload } from '../../db/schema.ts'
import { personUnderEpoch } from '../account/access-epoch.ts'

/** A browser session, anonymous or signed in, identified by the hash of its cookie. */
export type Session = Readonly<{
  idHash: Uint8Array
  uid: string
  accountSub: string | undefined
  /** The access epoch of the person's proof of identity; undefined when unknown: the session is not stored. */
  accessEpoch: number | undefined
  payload: Payload
  expiresAt: Date
  /** The origin of the request that uses it. */
  origin: Origin
  /**
   * The remembered browser of the session; ignored unless it is remembered for this person. When undefined, the session
   * keeps the one it has.
   */
  rememberedId: string | undefined
  /** The identifier that this one replaces. */
  replaces?: Replacement | undefined
}>

type Replacement = Readonly<{
  idHash: Uint8Array
  /** How long requests in flight may still read the replaced session; 0 when they may not. */
  readableSeconds: number
}>

/** Stores a session or its new state in one statement. @see `SessionStore.upsert` */
export async function upsertSession(
  database: Database,
  events: EventStore,
  { session, recorded }: Readonly<{ session: Session; recorded: readonly NewEvent[] }>,
): Promise<boolean> {
  const [row] = await upsert(database, [
    session.idHash,
    session.uid,
    session.accountSub ?? null,
    JSON.stringify(session.payload),
    session.expiresAt.getTime() / 1000,
    session.rememberedId ?? null,
    session.origin.address ?? null,
    session.origin.userAgent ?? null,
    session.replaces?.idHash ?? null,
    session.accessEpoch ?? null,
    session.replaces?.readableSeconds || null,
    events.serialize(recorded.map((event) => ({ event }))),
  ])
  return row?.is_stored === true
}

// The statement composes the CTEs below. Parameters: $1 id_hash, $2 uid, $3 account_sub, $4 payload, $5 expires_at,
// $6 remembered browser, $7 address, $8 user agent, $9 id_hash that is replaced, $10 access epoch, $11 seconds for which
// the replaced identifier stays readable, $12 events.

const IS_EPOCH_CURRENT = '($3::uuid is null or exists (select from person))'

/**
 * CTE `live`: the live rows of the session, locked. A concurrent revocation of the session waits for them or is waited
 * for. Both lock the account first.
 */
const LIVE = `live as materialized (
      select id_hash, account_sub, remembered_id from oidc_session
      where uid = $2 and ended_at is null and ${IS_EPOCH_CURRENT}
      order by id_hash for update
    )`

/** CTE `browser`: the remembered browser, locked. A concurrent revocation of it waits, and then finds the session. */
const BROWSER = `browser as materialized (
      select id from remembered_browser
      where id = $6::uuid and account_sub = $3::uuid and access_epoch = $10::int for key share
    )`

/** An existing session is stored under its own identifier, or under a new one that replaces a live one. */
const IS_EXISTING = 'exists (select from live where $9::bytea is null or id_hash in ($1::bytea, $9::bytea))'

/** A new session has no rows. One from a remembered browser requires that the browser is still remembered. */
const IS_NEW = `not exists (select from oidc_session where uid = $2)
          and (not coalesce($4::jsonb -> 'amr' ? 'remembered', false) or exists (select from browser))`

/** The session keeps the remembered browser that it began in. */
const REMEMBERED_ID = `coalesce(
          (select id from browser),
          (select remembered_id from live where account_sub = $3::uuid and remembered_id is not null limit 1)
        )`

/** Concurrent requests of one browser each write the whole payload: the clients that they added are merged. */
const MERGED_PAYLOAD = `excluded.payload || case when before.payload ? 'authorizations'
          then jsonb_build_object('authorizations',
            (before.payload -> 'authorizations') || coalesce(excluded.payload -> 'authorizations', '{}'::jsonb))
          else '{}'::jsonb end`

/** CTE `stored`: inserts or updates the row; an ended row stays a tombstone. */
const STORED = `stored as (
      insert into oidc_session as before
        (id_hash, uid, account_sub, access_epoch, payload, expires_at, remembered_id, address, user_agent, seen_at)
      select $1::bytea, $2::text, $3::uuid, coalesce($10::int, 0), $4::jsonb, to_timestamp($5::float8), ${REMEMBERED_ID},
        $7::text, $8::text, now()
      where ${IS_EPOCH_CURRENT} and (${IS_EXISTING} or (${IS_NEW}))
      on conflict (id_hash) do update set
        account_sub = excluded.account_sub,
        access_epoch = excluded.access_epoch,
        expires_at = excluded.expires_at,
        remembered_id = coalesce(excluded.remembered_id, before.remembered_id),
        address = excluded.address,
        user_agent = excluded.user_agent,
        seen_at = excluded.seen_at,
        payload = ${MERGED_PAYLOAD}
      where before.ended_at is null
      returning 1
    )`

/** CTE `replaced`: ends the identifier that the new one replaces. */
const REPLACED = `replaced as (
      update oidc_session
      set ended_at = now(), successor_hash = $1::bytea, readable_until = now() + make_interval(secs => $11::int)
      where id_hash = $9::bytea and ended_at is null and exists (select from stored)
    )`

const RECORDED = `recorded as (${insertNewEvents('$12', 'exists (select from stored)')})`

const upsert = prepareStatement<{ is_stored: boolean }>(
  'session_upsert',
  `with ${[personUnderEpoch('$3', '$10'), LIVE, BROWSER, STORED, REPLACED, RECORDED].join(', ')}
    select exists (select from stored) as is_stored`,
)
