import { createBatcher, hexOf } from '../../db/batching.ts'
import type { Database } from '../../db/connections.ts'
import { columnsOf, prepareStatement } from '../../db/prepared-statement.ts'
import { ARTIFACT_KINDS } from '../../db/token-kind.ts'

type UsedIdentifier = Readonly<{ idHash: Uint8Array; expiresAt: Date }>

export type ReplayDetection = ReturnType<typeof createReplayDetection>

/** Identifiers of client assertions and DPoP proofs, each of which is valid once (RFC 7523 §3, RFC 9449 §11.1). */
export function createReplayDetection(database: Database) {
  return {
    /**
     * Stores an identifier. Of any number of concurrent calls exactly one resolves to `true`.
     *
     * @returns false when it was used before, or has expired.
     */
    consume: createBatcher<UsedIdentifier, boolean>(
      async (identifiers) => {
        const rows = await insertUnseen(database, [
          ARTIFACT_KINDS.usedIdentifier,
          ...columnsOf(
            identifiers,
            ({ idHash }) => idHash,
            ({ expiresAt }) => expiresAt.getTime() / 1000,
          ),
        ])
        const unseen = new Set(rows.map((row) => hexOf(row.id_hash)))
        // `delete` is true once per identifier: duplicates in one statement have one winner, too.
        return identifiers.map(({ idHash }) => unseen.delete(hexOf(idHash)))
      },
      { isIdempotent: false },
    ),
  }
}

const insertUnseen = prepareStatement<{ id_hash: Uint8Array }>(
  'replay_detection_consume',
  `insert into oidc_artifact as seen (kind, id_hash, expires_at)
    select distinct on (id_hash) $1::smallint, id_hash, to_timestamp(expires_at)
    from unnest($2::bytea[], $3::float8[]) as given (id_hash, expires_at)
    where to_timestamp(expires_at) > now()
    order by id_hash, expires_at desc
    on conflict (kind, id_hash) do update set expires_at = excluded.expires_at where seen.expires_at <= now()
    returning id_hash`,
)
