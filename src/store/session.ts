import { ACCOUNT_COLUMNS, type Account, type AccountRow, toAccount } from './account.ts'
import { createBatcher } from './batching.ts'
import type { Database } from './database.ts'
import { eventParameters, insertEvents, type NewEvent } from './event.ts'
import type { Payload } from './schema.ts'
import { countOthers, makeRoom, type NewSession } from './session-count.ts'
import { sessionExpiry } from './session-expiry.ts'
import { defineStatement } from './statement.ts'

/** A browser's session with us, signed in or not. Known by the hash of its cookie. */
export type Session = Readonly<{
  idHash: Uint8Array
  uid: string
  accountSub: string | undefined
  payload: Payload
  expiresAt: Date
  /** Where it is used from. */
  address: string | undefined
  userAgent: string | undefined
  /** The remembered browser that it is in; counts only if it is remembered for this person. */
  rememberedId: string | undefined
  seenAt: Date
  /** The identifier that this one takes the place of: whoever still holds it has nothing. */
  replaces?: Uint8Array | undefined
}>

/** What is stored of a session, and when it was last used (to the minute). */
export type SessionState = Readonly<{ payload: Payload; seenAt: Date }>

/** A session with who signed in and what they let clients do, as one statement found them. */
export type FoundSession = Readonly<{
  uid: string
  payload: Payload
  seenAt: Date
  /** Ended before its time. Identifiers that were replaced when a person signed in are not meant: see `isReplaced`. */
  isEnded: boolean
  /** Another identifier took its place, in the same session. */
  isReplaced: boolean
  expiresAt: Date
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
     * Stores a session, or its new state. Two requests of one browser write the whole state each: what clients they
     * added (`authorizations`) is merged, else the last one would drop the other's. An ended session stays ended, under
     * a new identifier too, and then nothing is recorded either.
     */
    async upsert(session: Session, events: readonly NewEvent[] = []): Promise<void> {
      await upsert(database, session, events)
    },

    /**
     * Stores a session that is new to its person or to a client, where their number is limited.
     *
     * @throws {TooManySessionsError} when there is no room and none is made.
     */
    async upsertWithin(
      session: Session & { accountSub: string },
      events: readonly NewEvent[],
      limit: Parameters<typeof makeRoom>[2],
    ): Promise<void> {
      await database.transaction().execute(async (transaction) => {
        await makeRoom(transaction, { ...session, now: session.seenAt }, limit)
        await upsert(transaction, session, events)
      })
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

    async findByUid(uid: string): Promise<SessionState | undefined> {
      const row = await database
        .selectFrom('oidc_session')
        .select(['payload', 'seen_at'])
        .where('uid', '=', uid)
        .where('ended_at', 'is', null)
        .orderBy('expires_at', 'desc')
        .limit(1)
        .executeTakeFirst()
      return row && { payload: row.payload, seenAt: row.seen_at }
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
    async listOf(accountSub: string, now: Date): Promise<SignedInBrowser[]> {
      const rows = await listSessions(database, [accountSub, now.getTime() / 1000])
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

async function upsert(database: Database, session: Session, events: readonly NewEvent[]): Promise<void> {
  await upsertSession(database, [
    session.idHash,
    session.uid,
    session.accountSub ?? null,
    JSON.stringify(session.payload),
    session.expiresAt.getTime() / 1000,
    session.rememberedId ?? null,
    session.address ?? null,
    session.userAgent ?? null,
    session.seenAt.getTime() / 1000,
    session.replaces ?? null,
    ...eventParameters(events.map((event) => ({ event }))),
  ])
}

const upsertSession = defineStatement(
  'session_upsert',
  `with live as materialized (
      -- Whoever ends this session meanwhile is waited for, or waits.
      select 1 from oidc_session where uid = $2 and ended_at is null order by id_hash for update
    ), stored as (
      insert into oidc_session as before
        (id_hash, uid, account_sub, payload, expires_at, remembered_id, address, user_agent, seen_at)
      select $1::bytea, $2::text, $3::uuid, $4::jsonb, to_timestamp($5::float8),
        (select id from remembered_browser where id = $6::uuid and account_sub = $3::uuid), $7::text, $8::text, to_timestamp($9::float8)
      where (not exists (select from oidc_session where uid = $2) or exists (select from live))
        and not exists (
          -- Proved who they are before they were signed out everywhere. (A browser that is still remembered was not.)
          select from account
          where sub = $3::uuid and not coalesce($4::jsonb -> 'amr' ? 'remembered', false)
            and date_trunc('second', signed_out_at) > to_timestamp(($4::jsonb ->> 'loginTs')::float8)
        )
      on conflict (id_hash) do update set
        account_sub = excluded.account_sub,
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
      update oidc_session set ended_at = now()
      where id_hash = $10::bytea and ended_at is null and exists (select from stored)
    ), recorded as (${insertEvents(11, 'exists (select from stored)')}
    ) select`,
)

const retireSession = defineStatement(
  'session_retire',
  `update oidc_session set ended_at = now() where id_hash = $1 and ended_at is null`,
)

const recordMisuse = defineStatement(
  'session_misuse',
  `with misused as (
      update oidc_session set misused_at = now()
      where id_hash = $1 and (misused_at is null or misused_at < now() - interval '1 minute') returning 1
    ), recorded as (${insertEvents(2, 'exists (select from misused)')}
    ) select`,
)

const listSessions = defineStatement<{
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
      where account_sub = $1::uuid and ended_at is null and expires_at > to_timestamp($2::float8)
      order by uid, seen_at desc
    ) as browser order by seen_at desc`,
)

const findSessions = defineStatement<SessionRow>(
  'session_find',
  `select session.id_hash, session.uid, session.payload::text as payload, session.ended_at is not null as is_ended,
      session.ended_at is not null and exists (
        select from oidc_session as successor where successor.uid = session.uid and successor.ended_at is null
      ) as is_replaced,
      session.expires_at, session.address, session.user_agent, session.seen_at, ${ACCOUNT_COLUMNS},
      (
        select jsonb_agg(jsonb_build_object('id', oidc_grant.id, 'payload', oidc_grant.payload))::text from oidc_grant
        where oidc_grant.id in (select value ->> 'grantId' from jsonb_each(session.payload -> 'authorizations'))
      ) as grants
    from oidc_session as session left join account on account.sub = session.account_sub
    where session.id_hash = any($1::bytea[])`,
)

type SessionRow = Omit<AccountRow, 'sub'> & {
  id_hash: Uint8Array
  uid: string
  payload: string
  is_ended: boolean
  is_replaced: boolean
  expires_at: Date
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
    isEnded: row.is_ended,
    isReplaced: row.is_replaced,
    expiresAt: row.expires_at,
    address: row.address ?? undefined,
    userAgent: row.user_agent ?? undefined,
    seenAt: row.seen_at,
    account: sub === null ? undefined : toAccount({ ...row, sub }),
    grants: row.grants === null ? [] : JSON.parse(row.grants),
  }
}
