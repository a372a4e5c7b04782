import { sql } from 'kysely'
import type { NewEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import type { Database } from '../../db/connections.ts'
import { lockUnderEpoch } from '../account/access-epoch.ts'

/** Space-separated scopes, of OpenID Connect and of each resource. */
export type ScopeSet = Readonly<{ openid: string; resources: Readonly<Record<string, string>> }>

/** A person's answer to a client, for every browser. Grants are made from it, and do not change it. */
export type Consent = Readonly<{ granted: ScopeSet; rejected: ScopeSet }>

type NewConsent = Readonly<{
  accountSub: string
  clientId: string
  consent: Consent
  isNarrowed: boolean
  /** The access epoch of the person's proof of identity; undefined when unknown: nothing is stored. */
  accessEpoch: number | undefined
}>

export type ConsentStore = ReturnType<typeof createConsentStore>

export function createConsentStore(database: Database, { events }: { events: EventStore }) {
  return {
    async find(accountSub: string, clientId: string): Promise<Consent | undefined> {
      const row = await database
        .selectFrom('consent')
        .select('scopes')
        .where('account_sub', '=', accountSub)
        .where('client_id', '=', clientId)
        .executeTakeFirst()
      return row?.scopes as Consent | undefined
    },

    /**
     * Stores the latest answer. When it withdraws a scope, the client's tokens are revoked in every browser; it gets
     * new ones for the remaining scopes. Rejects with a foreign key violation when the client was deleted.
     *
     * @returns false when the access epoch was raised meanwhile: nothing is stored.
     */
    async upsert(
      { accountSub, clientId, consent, isNarrowed, accessEpoch }: NewConsent,
      event: NewEvent,
    ): Promise<boolean> {
      const changing = { scopes: JSON.stringify(consent) }
      return await database.transaction().execute(async (transaction) => {
        const account = accessEpoch !== undefined && { sub: accountSub, accessEpoch }
        if (!account || !(await lockUnderEpoch(transaction, account))) return false
        await transaction
          .insertInto('consent')
          .values({ account_sub: accountSub, client_id: clientId, ...changing })
          .onConflict((conflict) =>
            conflict
              .columns(['account_sub', 'client_id'])
              .doUpdateSet({ ...changing, updated_at: sql<Date>`now()` }),
          )
          .execute()
        if (isNarrowed)
          await transaction
            .deleteFrom('oidc_grant')
            .where('account_sub', '=', accountSub)
            .where('client_id', '=', clientId)
            .execute()
        await events.record([event], transaction)
        return true
      })
    },
  }
}
