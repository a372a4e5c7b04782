import { sql } from 'kysely'
import { createBatcher, hexOf } from '../../db/batching.ts'
import type { Database } from '../../db/connections.ts'
import { expiredRowsOf } from '../../db/expired-rows.ts'
import { columnsOf, prepareStatement } from '../../db/prepared-statement.ts'

/** What lives for minutes, by the engine's model names. The numbers are stored: never reuse one. */
export const ARTIFACT_KINDS = { Interaction: 1, PushedAuthorizationRequest: 2, ReplayDetection: 3 } as const

export type ArtifactKind = keyof typeof ARTIFACT_KINDS

export type ArtifactStore = ReturnType<typeof createArtifactStore>

export function createArtifactStore(database: Database) {
  return {
    /**
     * Stores an artifact or its new state; the expiry is never extended.
     *
     * @param isAnswer the state holds a person's answer to an interaction: of concurrent answers the first one stands.
     * @returns false when it was spent or answered meanwhile; it stays unchanged.
     */
    async upsert(
      kind: ArtifactKind,
      idHash: Uint8Array,
      sealedPayload: Uint8Array,
      expiresAt: Date,
      { isAnswer = false }: { isAnswer?: boolean } = {},
    ): Promise<boolean> {
      const changing = { sealed_payload: sealedPayload, answered: isAnswer }
      const { numInsertedOrUpdatedRows } = await database
        .insertInto('oidc_artifact')
        .values({ kind: ARTIFACT_KINDS[kind], id_hash: idHash, expires_at: expiresAt, ...changing })
        .onConflict((conflict) =>
          conflict
            .columns(['kind', 'id_hash'])
            .doUpdateSet(changing)
            .where('oidc_artifact.consumed_at', 'is', null)
            .where('oidc_artifact.answered', '=', false),
        )
        .executeTakeFirst()
      return (numInsertedOrUpdatedRows ?? 0n) > 0n
    },

    /**
     * Stores the identifier of a single-use proof (RFC 7523 §3, RFC 9449 §11.1).
     *
     * @returns false when it was stored before, or has expired.
     */
    insertOnce: createBatcher<{ kind: ArtifactKind; idHash: Uint8Array; expiresAt: Date }, boolean>(
      async (artifacts) => {
        const rows = await insertUnseen(
          database,
          columnsOf(
            artifacts,
            ({ kind }) => ARTIFACT_KINDS[kind],
            ({ idHash }) => idHash,
            ({ expiresAt }) => expiresAt.getTime() / 1000,
          ),
        )
        const unseen = new Set(rows.map((row) => `${row.kind} ${hexOf(row.id_hash)}`))
        // `delete` gives true once: the same identifier twice in one statement has one winner, too.
        return artifacts.map(({ kind, idHash }) => unseen.delete(`${ARTIFACT_KINDS[kind]} ${hexOf(idHash)}`))
      },
      { isIdempotent: false },
    ),

    /** Finds an artifact, also an expired one. */
    async find(
      kind: ArtifactKind,
      idHash: Uint8Array,
    ): Promise<{ sealedPayload: Uint8Array; isExpired: boolean; consumed: boolean } | undefined> {
      const row = await database
        .selectFrom('oidc_artifact')
        .select(['sealed_payload', 'consumed_at', sql<boolean>`expires_at <= now()`.as('is_expired')])
        .where('kind', '=', ARTIFACT_KINDS[kind])
        .where('id_hash', '=', idHash)
        .executeTakeFirst()
      return row?.sealed_payload
        ? { sealedPayload: row.sealed_payload, isExpired: row.is_expired, consumed: row.consumed_at !== null }
        : undefined
    },

    /** Of any number of concurrent calls exactly one gets `true`. */
    async consume(kind: ArtifactKind, idHash: Uint8Array): Promise<boolean> {
      const { numUpdatedRows } = await database
        .updateTable('oidc_artifact')
        .set({ consumed_at: sql<Date>`now()` })
        .where('kind', '=', ARTIFACT_KINDS[kind])
        .where('id_hash', '=', idHash)
        .where('consumed_at', 'is', null)
        .executeTakeFirst()
      return numUpdatedRows > 0n
    },

    ...expiredRowsOf(database, 'oidc_artifact'),
  }
}

const insertUnseen = prepareStatement<{ kind: number; id_hash: Uint8Array }>(
  'artifact_insert_once',
  `insert into oidc_artifact as seen (kind, id_hash, expires_at)
    select distinct on (kind, id_hash) kind, id_hash, to_timestamp(expires_at)
    from unnest($1::smallint[], $2::bytea[], $3::float8[]) as given (kind, id_hash, expires_at)
    where to_timestamp(expires_at) > now()
    order by kind, id_hash, expires_at desc
    on conflict (kind, id_hash) do update set expires_at = excluded.expires_at where seen.expires_at <= now()
    returning kind, id_hash`,
)
