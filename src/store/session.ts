import { sql } from 'kysely'
import type { Database } from './database.ts'
import { countRows } from './grant.ts'
import type { Payload } from './schema.ts'

/** A browser's session with us, signed in or not. Known by the hash of its cookie. */
export type Session = Readonly<{
  idHash: Uint8Array
  uid: string
  accountSub: string | undefined
  payload: Payload
  expiresAt: Date
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

    async find(idHash: Uint8Array): Promise<Payload | undefined> {
      const row = await database
        .selectFrom('oidc_session')
        .select('payload')
        .where('id_hash', '=', idHash)
        .where('ended_at', 'is', null)
        .executeTakeFirst()
      return row?.payload
    },

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

    /** @returns how many rows went; at most `limit`. */
    async deleteExpired(before: Date, limit: number): Promise<number> {
      const { numDeletedRows } = await database
        .deleteFrom('oidc_session')
        .where('id_hash', 'in', (select) =>
          select.selectFrom('oidc_session').select('id_hash').where('expires_at', '<', before).limit(limit),
        )
        .executeTakeFirst()
      return Number(numDeletedRows)
    },

    async countExpired(before: Date): Promise<number> {
      return await countRows(database, 'oidc_session', before)
    },
  }
}
