import { sql } from 'kysely'
import { eventParameters, insertEvents, type NewEvent } from '../../audit/event.ts'
import { createBatcher } from '../../db/batching.ts'
import type { Database } from '../../db/connections.ts'
import { prepareStatement } from '../../db/prepared-statement.ts'
import type { Payload } from '../../db/schema.ts'
import { UNDER_EPOCH } from '../account/access-epoch.ts'
import { ACCOUNT_COLUMNS, type Account, type AccountRow, toAccount } from '../account/account.ts'
import { countOthers, makeRoom, type NewSession } from './session-count.ts'
import { sessionExpiry } from './session-expiry.ts'

/** A browser's session with us, signed in or not. Known by the hash of its cookie. */
export type Session = Readonly<{
  idHash: Uint8Array
  uid: string
  accountSub: string | undefined
  /** The access epoch of the person's proof of identity; undefined when unknown: the session is not stored. */
  accessEpoch: number | undefined
  payload: Payload
  expiresAt: Date
  /** Where it is used from. */
  address: string | undefined
  userAgent: string | undefined
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

/** The clients that a request added to a session. */
type AddedAuthorizations = Readonly<{
  uid: string
  accountSub: string
  accessEpoch: number | undefined
  authorizations: Payload
}>

/** A session's stored state, the time of its last use (to the minute), and the time of this read. */
export type SessionState = Readonly<{ payload: Payload; accessEpoch: number; seenAt: Date; readAt: Date }>

/** A session with who signed in and what they let clients do, as one statement found them. */
export type FoundSession = Readonly<{
  uid: string
  payload: Payload
  accessEpoch: number
  seenAt: Date
  readAt: Date
  /** It reached its absolute end, or was idle for too long. */
  isExpired: boolean
  /** Ended before its time. Identifiers that were replaced when a person signed in are not meant: see `isReplaced`. */
  isEnded: boolean
  /** Another identifier replaced it, in the same session or the same browser, and that session is alive. */
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

/** A browser that a person is signed in with, as they see it on their account page. */
export type SignedInBrowser = Readonly<{
  uid: string
  rememberedId: string | undefined
  address: string | undefined
  userAgent: string | undefined
  startedAt: Date
  seenAt: Date
  expiresAt: Date
}>

export type SessionStore = ReturnType<typeof createSessionStore>

export function createSessionStore(database: Database) {
  return {
    /**
     * Stores a session or its new state. Concurrent requests of one browser each write the whole state, so the clients
     * that they added (`authorizations`) are merged. Nothing is stored or recorded when the session has ended, also
     * under a new identifier; when the person's proof is of an older access epoch; or when the identifier to replace
     * already has a successor.
     *
     * @returns whether it was stored.
     */
    upsert: (session: Session, events: readonly NewEvent[] = []): Promise<boolean> =>
      upsert(database, session, events),

    /**
     * Stores a session that is new to its person or to a client, where their number is limited.
     *
     * @returns whether it was stored.
     * @throws {TooManySessionsError} when there is no room and none is made.
     */
    async upsertWithin(
      session: Session & { accountSub: string },
      events: readonly NewEvent[],
      limit: Parameters<typeof makeRoom>[2],
    ): Promise<boolean> {
      return await database.transaction().execute(async (transaction) => {
        await makeRoom(transaction, session, limit)
        return await upsert(transaction, session, events)
      })
    },

    /**
     * Adds the clients of a request whose session identifier was replaced while it ran, so that their codes can be
     * redeemed. Existing entries stay unchanged.
     */
    async addAuthorizations(added: AddedAuthorizations): Promise<void> {
      const { uid, accountSub, accessEpoch, authorizations } = added
      await addAuthorizations(database, [
        uid,
        accountSub,
        accessEpoch ?? null,
        JSON.stringify(authorizations),
      ])
    },

    /** How many other browsers a person is signed in with, at all or to one client. */
    countOthers: (session: NewSession, clientId?: string): Promise<number> =>
      countOthers(database, session, clientId),

    /**
     * Finds a session together with its account and the grants that it refers to. Ended and expired ones are found
     * too, as long as their rows are there: using them is worth knowing of.
     */
    find: createBatcher<Uint8Array, FoundSession | undefined>(async (idHashes) => {
      const rows = await findSessions(database, [idHashes])
      const byHash = new Map(rows.map((row) => [Buffer.from(row.id_hash).toString('hex'), row]))
      return idHashes.map((idHash) => {
        const row = byHash.get(Buffer.from(idHash).toString('hex'))
        return row && toFoundSession(row)
      })
    }),

    /** Finds a session that is alive. */
    async findByUid(uid: string): Promise<SessionState | undefined> {
      const row = await database
        .selectFrom('oidc_session as session')
        .leftJoin('account', 'account.sub', 'session.account_sub')
        .select([
          'session.payload',
          'session.access_epoch',
          'session.seen_at',
          sql<Date>`now()`.as('read_at'),
        ])
        .where('session.uid', '=', uid)
        .where('session.ended_at', 'is', null)
        .where(sql<boolean>`session.expires_at > now()`)
        .where(sql<boolean>`session.access_epoch = coalesce(account.access_epoch, 0)`)
        .orderBy('session.expires_at', 'desc')
        .limit(1)
        .executeTakeFirst()
      return (
        row && {
          payload: row.payload,
          accessEpoch: row.access_epoch,
          seenAt: row.seen_at,
          readAt: row.read_at,
        }
      )
    },

    /** Ends an identifier that no other takes the place of in the same request. */
    async retire(idHash: Uint8Array): Promise<void> {
      await retireSession(database, [idHash])
    },

    /** Records that somebody used a session that is over; at most once a minute for each. */
    async recordMisuse(idHash: Uint8Array, event: NewEvent): Promise<void> {
      await recordMisuse(database, [idHash, ...eventParameters([{ event }])])
    },

    /** Where a person is signed in, latest first. */
    async listOf(accountSub: string): Promise<SignedInBrowser[]> {
      const rows = await listSessions(database, [accountSub])
      return rows.map((row) => ({
        uid: row.uid,
        rememberedId: row.remembered_id ?? undefined,
        address: row.address ?? undefined,
        userAgent: row.user_agent ?? undefined,
        startedAt: new Date(row.started_at * 1000),
        seenAt: row.seen_at,
        expiresAt: row.expires_at,
      }))
    },

    ...sessionExpiry(database),
  }
}

async function upsert(database: Database, session: Session, events: readonly NewEvent[]): Promise<boolean> {
  const [row] = await upsertSession(database, [
    session.idHash,
    session.uid,
    session.accountSub ?? null,
    JSON.stringify(session.payload),
    session.expiresAt.getTime() / 1000,
    session.rememberedId ?? null,
    session.address ?? null,
    session.userAgent ?? null,
    session.replaces?.idHash ?? null,
    session.accessEpoch ?? null,
    session.replaces?.readableSeconds || null,
    ...eventParameters(events.map((event) => ({ event }))),
  ])
  return row?.is_stored === true
}

const upsertSession = prepareStatement<{ is_stored: boolean }>(
  'session_upsert',
  `with ${UNDER_EPOCH('$3', '$10')}, live as materialized (
      -- Serializes with a concurrent revocation of this session. Both lock the account first.
      select id_hash, account_sub, remembered_id from oidc_session
      where uid = $2 and ended_at is null and ($3::uuid is null or exists (select from person))
      order by id_hash for update
    ), browser as materialized (
      -- A concurrent revocation of this browser waits, and then finds the session.
      select id from remembered_browser
      where id = $6::uuid and account_sub = $3::uuid and access_epoch = $10::int for key share
    ), stored as (
      insert into oidc_session as before
        (id_hash, uid, account_sub, access_epoch, payload, expires_at, remembered_id, address, user_agent, seen_at)
      select $1::bytea, $2::text, $3::uuid, coalesce($10::int, 0), $4::jsonb, to_timestamp($5::float8),
        coalesce(
          (select id from browser),
          -- The session keeps the browser that it began in.
          (select remembered_id from live where account_sub = $3::uuid and remembered_id is not null limit 1)
        ), $7::text, $8::text, now()
      where ($3::uuid is null or exists (select from person))
        and (exists (select from live where $9::bytea is null or id_hash in ($1::bytea, $9::bytea)) or (
          not exists (select from oidc_session where uid = $2)
          -- A new session from a remembered browser requires that it is still remembered.
          and (not coalesce($4::jsonb -> 'amr' ? 'remembered', false) or exists (select from browser))
        ))
      on conflict (id_hash) do update set
        account_sub = excluded.account_sub,
        access_epoch = excluded.access_epoch,
        expires_at = excluded.expires_at,
        remembered_id = coalesce(excluded.remembered_id, before.remembered_id),
        address = excluded.address,
        user_agent = excluded.user_agent,
        seen_at = excluded.seen_at,
        payload = excluded.payload || case when before.payload ? 'authorizations'
          then jsonb_build_object('authorizations',
            (before.payload -> 'authorizations') || coalesce(excluded.payload -> 'authorizations', '{}'::jsonb))
          else '{}'::jsonb end
      where before.ended_at is null
      returning 1
    ), replaced as (
      update oidc_session
      set ended_at = now(), successor_hash = $1::bytea, readable_until = now() + make_interval(secs => $11::int)
      where id_hash = $9::bytea and ended_at is null and exists (select from stored)
    ), recorded as (${insertEvents(12, 'exists (select from stored)')}
    ) select exists (select from stored) as is_stored`,
)

const addAuthorizations = prepareStatement(
  'session_add_authorizations',
  `update oidc_session
    set payload = payload || jsonb_build_object('authorizations', $4::jsonb || coalesce(payload -> 'authorizations', '{}'))
    where uid = $1 and account_sub = $2::uuid and access_epoch = $3::int and ended_at is null`,
)

const retireSession = prepareStatement(
  'session_retire',
  `update oidc_session set ended_at = now() where id_hash = $1 and ended_at is null`,
)

const recordMisuse = prepareStatement(
  'session_misuse',
  `with misused as (
      update oidc_session set misused_at = now()
      where id_hash = $1 and (misused_at is null or misused_at < now() - interval '1 minute') returning 1
    ), recorded as (${insertEvents(2, 'exists (select from misused)')}
    ) select`,
)

const listSessions = prepareStatement<{
  uid: string
  remembered_id: string | null
  address: string | null
  user_agent: string | null
  started_at: number
  seen_at: Date
  expires_at: Date
}>(
  'session_list',
  `select * from (
      select distinct on (uid) uid, remembered_id, address, user_agent, (payload ->> 'iat')::float8 as started_at, seen_at, expires_at
      from oidc_session
      where account_sub = $1::uuid and ended_at is null and expires_at > now()
      order by uid, seen_at desc
    ) as browser order by seen_at desc`,
)

const findSessions = prepareStatement<SessionRow>(
  'session_find',
  `select session.id_hash, session.uid, session.payload::text as payload, session.access_epoch as session_access_epoch,
      session.ended_at is not null or session.access_epoch <> coalesce(account.access_epoch, 0) as is_ended,
      session.ended_at is not null and exists (
        select from oidc_session as live
        where live.uid = coalesce(successor.uid, session.uid) and live.ended_at is null
      ) as is_replaced,
      coalesce(session.readable_until > now() and session.access_epoch = account.access_epoch, false) as is_readable,
      session.ended_at,
      session.expires_at <= now() as is_expired, now() as read_at,
      session.address, session.user_agent, session.seen_at, ${ACCOUNT_COLUMNS},
      (
        select jsonb_agg(jsonb_build_object('id', oidc_grant.id, 'payload', oidc_grant.payload))::text from oidc_grant
        where oidc_grant.expires_at > now()
          and oidc_grant.id in (select value ->> 'grantId' from jsonb_each(session.payload -> 'authorizations'))
      ) as grants
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

/** JSON is parsed for each taker: the engine changes what it is given. */
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
