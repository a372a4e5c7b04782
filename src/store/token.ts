import { sql } from 'kysely'
import type { Database } from './database.ts'
import { countRows } from './grant.ts'
import type { Payload } from './schema.ts'

/** The kinds of token in the table, by the engine's model names. The numbers are stored: never reuse one. */
export const TOKEN_KINDS = {
  AccessToken: 1,
  AuthorizationCode: 2,
  RefreshToken: 3,
  ClientCredentials: 4,
  DeviceCode: 5,
} as const

export type TokenKind = keyof typeof TOKEN_KINDS

export type Token = Readonly<{
  idHash: Uint8Array
  kind: TokenKind
  grantId: string | undefined
  clientId: string
  payload: Payload
  expiresAt: Date
  /** Device codes only: the user code's fingerprint and the sealed device code. */
  device?: Readonly<{ userCodeHash: Uint8Array; sealedId: Uint8Array }> | undefined
}>

export type TokenStore = ReturnType<typeof createTokenStore>

export function createTokenStore(database: Database) {
  return {
    /** Stores a token, or the new state of one (device codes are stored three times). Whether it was spent is kept. */
    async upsert({ idHash, kind, grantId, clientId, payload, expiresAt, device }: Token): Promise<void> {
      const changing = { grant_id: grantId ?? null, payload: JSON.stringify(payload), expires_at: expiresAt }
      await database
        .insertInto('oidc_token')
        .values({
          id_hash: idHash,
          kind: TOKEN_KINDS[kind],
          client_id: clientId,
          user_code_hash: device?.userCodeHash ?? null,
          sealed_id: device?.sealedId ?? null,
          poll_interval_seconds: null,
          ...changing,
        })
        .onConflict((conflict) => conflict.column('id_hash').doUpdateSet(changing))
        .execute()
    },

    /**
     * Finds a token, expired or not. A spent one counts as spent only `graceSeconds` after it was: until then a
     * duplicate request falls through to {@link consume} and loses there, without harming the winner.
     */
    async find(
      kind: TokenKind,
      idHash: Uint8Array,
      graceSeconds: number,
    ): Promise<{ payload: Payload; consumed: boolean } | undefined> {
      const row = await database
        .selectFrom('oidc_token')
        .select(['payload', consumedFor(graceSeconds).as('consumed')])
        .where('id_hash', '=', idHash)
        .where('kind', '=', TOKEN_KINDS[kind])
        .executeTakeFirst()
      return row && { payload: row.payload, consumed: row.consumed }
    },

    /** Finds the device code that a person was told the user code of (RFC 8628 §3.3). */
    async findByUserCode(
      userCodeHash: Uint8Array,
    ): Promise<{ payload: Payload; sealedId: Uint8Array } | undefined> {
      const row = await database
        .selectFrom('oidc_token')
        .select(['payload', 'sealed_id'])
        .where('user_code_hash', '=', userCodeHash)
        .executeTakeFirst()
      return row?.sealed_id ? { payload: row.payload, sealedId: row.sealed_id } : undefined
    },

    /**
     * Notes that a device polls (RFC 8628 §3.5). One statement, so that instances agree.
     *
     * @returns 'too-soon' when it did not wait for the interval, which then grows by `stepSeconds`.
     */
    async poll(
      idHash: Uint8Array,
      { intervalSeconds, stepSeconds }: { intervalSeconds: number; stepSeconds: number },
    ): Promise<'in-time' | 'too-soon'> {
      const { rows } = await sql<{ too_soon: boolean }>`
        update oidc_token as current
        set polled_at = now(),
            poll_interval_seconds = case when before.too_soon then least(before.interval + ${stepSeconds}, 300) else before.interval end
        from (
          select id_hash, coalesce(poll_interval_seconds, ${intervalSeconds}::int) as interval,
                 coalesce(polled_at + make_interval(secs => coalesce(poll_interval_seconds, ${intervalSeconds}::int)) > now(), false) as too_soon
          from oidc_token where id_hash = ${idHash} and kind = ${TOKEN_KINDS.DeviceCode} for update
        ) as before
        where current.id_hash = before.id_hash
        returning before.too_soon
      `.execute(database)
      return rows[0]?.too_soon ? 'too-soon' : 'in-time'
    },

    /** Spends a single-use token (RFC 6749 §4.1.2). Of any number of concurrent calls exactly one gets `true`. */
    async consume(kind: TokenKind, idHash: Uint8Array): Promise<boolean> {
      const { numUpdatedRows } = await database
        .updateTable('oidc_token')
        .set({ consumed_at: sql<Date>`now()` })
        .where('id_hash', '=', idHash)
        .where('kind', '=', TOKEN_KINDS[kind])
        .where('consumed_at', 'is', null)
        .executeTakeFirst()
      return numUpdatedRows > 0n
    },

    async delete(idHash: Uint8Array): Promise<void> {
      await database.deleteFrom('oidc_token').where('id_hash', '=', idHash).execute()
    },

    /** Deletes a grant's tokens of one kind, the grant itself stays. */
    async deleteByGrant(kind: TokenKind, grantId: string): Promise<void> {
      await database
        .deleteFrom('oidc_token')
        .where('grant_id', '=', grantId)
        .where('kind', '=', TOKEN_KINDS[kind])
        .execute()
    },

    /** @returns how many rows went; at most `limit`. */
    async deleteExpired(before: Date, limit: number): Promise<number> {
      const { numDeletedRows } = await database
        .deleteFrom('oidc_token')
        .where('id_hash', 'in', (select) =>
          select.selectFrom('oidc_token').select('id_hash').where('expires_at', '<', before).limit(limit),
        )
        .executeTakeFirst()
      return Number(numDeletedRows)
    },

    async countExpired(before: Date): Promise<number> {
      return await countRows(database, 'oidc_token', before)
    },
  }
}

function consumedFor(graceSeconds: number) {
  return sql<boolean>`coalesce(consumed_at <= now() - make_interval(secs => ${graceSeconds}), false)`
}
