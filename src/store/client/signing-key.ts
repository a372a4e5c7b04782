import { sql } from 'kysely'
import { newEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import type { Database } from '../../db/connections.ts'
import { toFields } from '../../db/prepared-statement.ts'

export type SigningAlg = 'RS256' | 'ES256' | 'EdDSA'

/** A key of the JWKS; the private part is sealed. */
export type StoredSigningKey = Readonly<{
  kid: string
  alg: SigningAlg
  state: 'next' | 'current' | 'retired'
  publicJwk: Readonly<Record<string, unknown>>
  sealedPrivateJwk: Uint8Array
  createdAt: Date
}>

export type SigningKeyStore = ReturnType<typeof createSigningKeyStore>

export function createSigningKeyStore(database: Database, { events }: { events: EventStore }) {
  return {
    async list(): Promise<StoredSigningKey[]> {
      const rows = await database
        .selectFrom('signing_key')
        .selectAll()
        .orderBy('created_at')
        .orderBy('kid')
        .execute()
      return rows.map(toFields)
    },

    /** Adds the first current key of an algorithm. Of concurrent instances one wins; the keys of the others are dropped. */
    async insertCurrentUnlessPresent(
      key: Pick<StoredSigningKey, 'kid' | 'alg' | 'publicJwk' | 'sealedPrivateJwk'>,
    ): Promise<void> {
      const { kid, alg } = key
      await events.changeAndRecord(newEvent('key.created', { detail: { kid, alg } }), async (transaction) => {
        const { numInsertedOrUpdatedRows } = await transaction
          .insertInto('signing_key')
          .values({
            kid,
            alg,
            state: 'current',
            public_jwk: JSON.stringify(key.publicJwk),
            sealed_private_jwk: key.sealedPrivateJwk,
          })
          .onConflict((conflict) => conflict.column('alg').where(sql<boolean>`state = 'current'`).doNothing())
          .executeTakeFirst()
        return (numInsertedOrUpdatedRows ?? 0n) > 0n
      })
    },
  }
}
