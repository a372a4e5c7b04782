import type { Database } from './database.ts'
import type { Payload } from './schema.ts'

/** What a person let a client do (the engine's Grant). Tokens hang on it: deleting it deletes them. */
export type Grant = Readonly<{
  id: string
  accountSub: string
  clientId: string
  payload: Payload
  expiresAt: Date
}>

export type GrantStore = ReturnType<typeof createGrantStore>

export function createGrantStore(database: Database) {
  return {
    async upsert({ id, accountSub, clientId, payload, expiresAt }: Grant): Promise<void> {
      const changing = { payload: JSON.stringify(payload), expires_at: expiresAt }
      await database
        .insertInto('oidc_grant')
        .values({ id, account_sub: accountSub, client_id: clientId, ...changing })
        .onConflict((conflict) => conflict.column('id').doUpdateSet(changing))
        .execute()
    },

    async find(id: string): Promise<Payload | undefined> {
      const row = await database
        .selectFrom('oidc_grant')
        .select('payload')
        .where('id', '=', id)
        .executeTakeFirst()
      return row?.payload
    },

    async delete(id: string): Promise<void> {
      await database.deleteFrom('oidc_grant').where('id', '=', id).execute()
    },

    /** @returns how many rows went; at most `limit`. */
    async deleteExpired(before: Date, limit: number): Promise<number> {
      const { numDeletedRows } = await database
        .deleteFrom('oidc_grant')
        .where('id', 'in', (select) =>
          select.selectFrom('oidc_grant').select('id').where('expires_at', '<', before).limit(limit),
        )
        .executeTakeFirst()
      return Number(numDeletedRows)
    },

    async countExpired(before: Date): Promise<number> {
      return await countRows(database, 'oidc_grant', before)
    },
  }
}

/** Counts rows of a table that expired before an instant. */
export async function countRows(
  database: Database,
  table: 'oidc_grant' | 'oidc_token' | 'oidc_session' | 'oidc_artifact',
  before: Date,
): Promise<number> {
  const { count } = await database
    .selectFrom(table)
    .select((select) => select.fn.countAll<string | number>().as('count'))
    .where('expires_at', '<', before)
    .executeTakeFirstOrThrow()
  return Number(count)
}
