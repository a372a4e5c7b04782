import type { Database } from './database.ts'
import type { Origin } from './event.ts'
import { expiryOf } from './expired.ts'
import type { Payload } from './schema.ts'

/** What a person let a client do (the engine's Grant). Tokens hang on it: deleting it deletes them. */
export type Grant = Readonly<{
  id: string
  accountSub: string
  clientId: string
  payload: Payload
  expiresAt: Date
  /** Where the person was who agreed. */
  origin: Origin
}>

export type GrantStore = ReturnType<typeof createGrantStore>

export function createGrantStore(database: Database) {
  return {
    async upsert({ id, accountSub, clientId, payload, expiresAt, origin }: Grant): Promise<void> {
      const { address = null, userAgent: user_agent = null } = origin
      const changing = { payload: JSON.stringify(payload), expires_at: expiresAt }
      await database
        .insertInto('oidc_grant')
        .values({ id, account_sub: accountSub, client_id: clientId, address, user_agent, ...changing })
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

    ...expiryOf(database, 'oidc_grant'),
  }
}
