import { sql } from 'kysely'
import { ACCOUNT_COLUMNS, type Account, type AccountRow, toAccount } from './account.ts'
import { createBatcher } from './batching.ts'
import type { Database } from './database.ts'
import { expiryOf } from './expired.ts'
import type { Payload } from './schema.ts'
import { defineStatement } from './statement.ts'

/** A browser's session with us, signed in or not. Known by the hash of its cookie. */
export type Session = Readonly<{
  idHash: Uint8Array
  uid: string
  accountSub: string | undefined
  payload: Payload
  expiresAt: Date
}>

/** A session with who signed in and what they let clients do, as one statement found them. */
export type FoundSession = Readonly<{
  payload: Payload
  account: Account | undefined
  grants: readonly Readonly<{ id: string; payload: Payload }>[]
}>

export type SessionStore = ReturnType<typeof createSessionStore>

export function createSessionStore(database: Database) {
  return {
    /**
     * Stores a session, or its new state. Two requests of one browser write the whole state each: what clients they
     * added (`authorizations`) is merged, else the last one would drop the other's. An ended session stays ended.
     */
    async upsert({ idHash, uid, accountSub, payload, expiresAt }: Session): Promise<void> {
      await sql`
        insert into oidc_session as before (id_hash, uid, account_sub, payload, expires_at)
        values (${idHash}, ${uid}, ${accountSub ?? null}, ${JSON.stringify(payload)}::jsonb, ${expiresAt})
        on conflict (id_hash) do update set
          account_sub = excluded.account_sub,
          expires_at = excluded.expires_at,
          payload = excluded.payload || case when before.payload ? 'authorizations'
            then jsonb_build_object('authorizations',
              (before.payload -> 'authorizations') || coalesce(excluded.payload -> 'authorizations', '{}'::jsonb))
            else '{}'::jsonb end
        where before.ended_at is null
      `.execute(database)
    },

    /** Finds a session that has not ended, together with its account and the grants that it refers to. */
    find: createBatcher<Uint8Array, FoundSession | undefined>(async (idHashes) => {
      const rows = await findSessions(database, [idHashes])
      const byHash = new Map(rows.map((row) => [Buffer.from(row.id_hash).toString('hex'), row]))
      return idHashes.map((idHash) => {
        const row = byHash.get(Buffer.from(idHash).toString('hex'))
        return row && toFoundSession(row)
      })
    }),

    async findByUid(uid: string): Promise<Payload | undefined> {
      const row = await database
        .selectFrom('oidc_session')
        .select('payload')
        .where('uid', '=', uid)
        .where('ended_at', 'is', null)
        .orderBy('expires_at', 'desc')
        .limit(1)
        .executeTakeFirst()
      return row?.payload
    },

    /** Ends a session for good: a request that had loaded it cannot write it back. */
    async end(idHash: Uint8Array): Promise<void> {
      await database
        .updateTable('oidc_session')
        .set({ ended_at: sql<Date>`now()` })
        .where('id_hash', '=', idHash)
        .where('ended_at', 'is', null)
        .execute()
    },

    ...expiryOf(database, 'oidc_session'),
  }
}

const findSessions = defineStatement<SessionRow>(
  'session_find',
  `select session.id_hash, session.payload::text as payload, ${ACCOUNT_COLUMNS},
      (
        select jsonb_agg(jsonb_build_object('id', oidc_grant.id, 'payload', oidc_grant.payload))::text from oidc_grant
        where oidc_grant.id in (select value ->> 'grantId' from jsonb_each(session.payload -> 'authorizations'))
      ) as grants
    from oidc_session as session left join account on account.sub = session.account_sub
    where session.id_hash = any($1::bytea[]) and session.ended_at is null`,
)

type SessionRow = Omit<AccountRow, 'sub'> & {
  id_hash: Uint8Array
  payload: string
  sub: string | null
  grants: string | null
}

/** JSON is parsed for each taker: the engine changes what it is given. */
function toFoundSession(row: SessionRow): FoundSession {
  const { sub } = row
  return {
    payload: JSON.parse(row.payload),
    account: sub === null ? undefined : toAccount({ ...row, sub }),
    grants: row.grants === null ? [] : JSON.parse(row.grants),
  }
}
