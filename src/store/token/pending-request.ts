import { sql } from 'kysely'
import type { Database } from '../../db/connections.ts'
import { ARTIFACT_KINDS } from '../../db/token-kind.ts'

/** An interaction or a pushed request, also an expired or used one. */
type PendingRequest = Readonly<{ sealedPayload: Uint8Array; isExpired: boolean; consumed: boolean }>

type PendingRequestStore = ReturnType<typeof createPendingRequestStore>

/** Interactions: authorization requests that wait for a person. */
export function createInteractionStore(database: Database): PendingRequestStore {
  return createPendingRequestStore(database, ARTIFACT_KINDS.interaction)
}

/** Pushed authorization requests, which wait to be used once (RFC 9126 §2). */
export function createPushedRequestStore(database: Database): PendingRequestStore {
  return createPendingRequestStore(database, ARTIFACT_KINDS.pushedRequest)
}

function createPendingRequestStore(database: Database, kind: number) {
  return {
    /**
     * Stores a request or its new state; the expiry is never extended.
     *
     * @param isAnswer the state holds a person's answer to an interaction: of concurrent answers the first one stands.
     * @returns false when it was consumed or answered meanwhile; it stays unchanged.
     */
    async upsert(
      idHash: Uint8Array,
      sealedPayload: Uint8Array,
      expiresAt: Date,
      { isAnswer = false }: { isAnswer?: boolean } = {},
    ): Promise<boolean> {
      const state = { sealed_payload: sealedPayload, answered: isAnswer }
      const { numInsertedOrUpdatedRows } = await database
        .insertInto('oidc_artifact')
        .values({ kind, id_hash: idHash, expires_at: expiresAt, ...state })
        .onConflict((conflict) =>
          conflict
            .columns(['kind', 'id_hash'])
            .doUpdateSet(state)
            .where('oidc_artifact.consumed_at', 'is', null)
            .where('oidc_artifact.answered', '=', false),
        )
        .executeTakeFirst()
      return (numInsertedOrUpdatedRows ?? 0n) > 0n
    },

    async find(idHash: Uint8Array): Promise<PendingRequest | undefined> {
      const row = await database
        .selectFrom('oidc_artifact')
        .select(['sealed_payload', 'consumed_at', sql<boolean>`expires_at <= now()`.as('is_expired')])
        .where('kind', '=', kind)
        .where('id_hash', '=', idHash)
        .executeTakeFirst()
      return row?.sealed_payload
        ? { sealedPayload: row.sealed_payload, isExpired: row.is_expired, consumed: row.consumed_at !== null }
        : undefined
    },

    /** Consumes a request. Of any number of concurrent calls exactly one resolves to `true`. */
    async consume(idHash: Uint8Array): Promise<boolean> {
      const { numUpdatedRows } = await database
        .updateTable('oidc_artifact')
        .set({ consumed_at: sql<Date>`now()` })
        .where('kind', '=', kind)
        .where('id_hash', '=', idHash)
        .where('consumed_at', 'is', null)
        .executeTakeFirst()
      return numUpdatedRows > 0n
    },
  }
}
