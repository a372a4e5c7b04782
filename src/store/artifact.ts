import { sql } from 'kysely'
import type { Database } from './database.ts'
import { countRows } from './grant.ts'

/** What lives for minutes, by the engine's model names. The numbers are stored: never reuse one. */
export const ARTIFACT_KINDS = { Interaction: 1, PushedAuthorizationRequest: 2, ReplayDetection: 3 } as const

export type ArtifactKind = keyof typeof ARTIFACT_KINDS

export type ArtifactStore = ReturnType<typeof createArtifactStore>

export function createArtifactStore(database: Database) {
  return {
    /** Stores an artifact or its new state. @returns false when it was spent meanwhile: then it stays as it is. */
    async upsert(
      kind: ArtifactKind,
      idHash: Uint8Array,
      sealedPayload: Uint8Array,
      expiresAt: Date,
    ): Promise<boolean> {
      const changing = { sealed_payload: sealedPayload, expires_at: expiresAt }
      const { numInsertedOrUpdatedRows } = await database
        .insertInto('oidc_artifact')
        .values({ kind: ARTIFACT_KINDS[kind], id_hash: idHash, ...changing })
        .onConflict((conflict) =>
          conflict
            .columns(['kind', 'id_hash'])
            .doUpdateSet(changing)
            .where('oidc_artifact.consumed_at', 'is', null),
        )
        .executeTakeFirst()
      return (numInsertedOrUpdatedRows ?? 0n) > 0n
    },

    /** Remembers that something may be used once (RFC 7523 §3, RFC 9449 §11.1). @returns false when it was seen before. */
    async insertOnce(kind: ArtifactKind, idHash: Uint8Array, expiresAt: Date): Promise<boolean> {
      const { rows } = await sql`
        insert into oidc_artifact as seen (kind, id_hash, expires_at)
        values (${ARTIFACT_KINDS[kind]}, ${idHash}, ${expiresAt})
        on conflict (kind, id_hash) do update set expires_at = excluded.expires_at where seen.expires_at < now()
        returning 1
      `.execute(database)
      return rows.length > 0
    },

    async find(
      kind: ArtifactKind,
      idHash: Uint8Array,
    ): Promise<{ sealedPayload: Uint8Array; consumed: boolean } | undefined> {
      const row = await database
        .selectFrom('oidc_artifact')
        .select(['sealed_payload', 'consumed_at'])
        .where('kind', '=', ARTIFACT_KINDS[kind])
        .where('id_hash', '=', idHash)
        .executeTakeFirst()
      return row?.sealed_payload
        ? { sealedPayload: row.sealed_payload, consumed: row.consumed_at !== null }
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

    /** @returns how many rows went; at most `limit`. */
    async deleteExpired(before: Date, limit: number): Promise<number> {
      const { rows } = await sql`
        delete from oidc_artifact
        where (kind, id_hash) in (select kind, id_hash from oidc_artifact where expires_at < ${before} limit ${limit})
        returning 1
      `.execute(database)
      return rows.length
    },

    async countExpired(before: Date): Promise<number> {
      return await countRows(database, 'oidc_artifact', before)
    },
  }
}
