import { sql } from 'kysely'
import type { Origin } from '../../audit/event.ts'
import type { Database } from '../../db/connections.ts'
import { expiredRowsOf } from '../../db/expired-rows.ts'
import { prepareStatement } from '../../db/prepared-statement.ts'
import type { Payload } from '../../db/schema.ts'
import { personUnderEpoch } from '../account/access-epoch.ts'

/** The scopes that a person granted to a client (the engine's Grant). Tokens refer to it: deleting it deletes them. */
export type Grant = Readonly<{
  id: string
  accountSub: string
  clientId: string
  payload: Payload
  expiresAt: Date
  /** The origin of the request in which the person agreed. */
  origin: Origin
  /** The access epoch of the person's proof of identity; undefined when unknown: the grant is not stored. */
  accessEpoch: number | undefined
}>

export function createGrantStore(database: Database) {
  return {
    /**
     * Stores a grant or its new state, unless the person's access epoch was raised meanwhile; the expiry is never
     * extended. Rejects with a foreign key violation when the client was deleted.
     *
     * @returns false when nothing was stored.
     */
    async upsert(grant: Grant): Promise<boolean> {
      const rows = await upsertGrant(database, [
        grant.id,
        grant.accountSub,
        grant.accessEpoch ?? null,
        grant.clientId,
        JSON.stringify(grant.payload),
        grant.origin.address ?? null,
        grant.origin.userAgent ?? null,
        grant.expiresAt.getTime() / 1000,
      ])
      return rows.length > 0
    },

    /** Finds an unexpired grant. */
    async find(id: string): Promise<Payload | undefined> {
      const row = await database
        .selectFrom('oidc_grant')
        .select('payload')
        .where('id', '=', id)
        .where('expires_at', '>', sql<Date>`now()`)
        .executeTakeFirst()
      return row?.payload
    },

    ...expiredRowsOf(database, 'oidc_grant'),
  }
}

const upsertGrant = prepareStatement(
  'grant_upsert',
  `with ${personUnderEpoch('$2', '$3')}
    insert into oidc_grant (id, account_sub, access_epoch, client_id, payload, address, user_agent, expires_at)
    select $1, $2::uuid, $3::int, $4, $5::jsonb, $6, $7, to_timestamp($8::float8) from person
    on conflict (id) do update set
      payload = excluded.payload, access_epoch = excluded.access_epoch
    returning 1`,
)
