import { sql } from 'kysely'
import type { NewEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import { createBatcher, hexOf } from '../../db/batching.ts'
import type { Database } from '../../db/connections.ts'
import { isUniqueViolation } from '../../db/database-error.ts'
import { columnsOf, prepareStatement } from '../../db/prepared-statement.ts'
import type { Payload } from '../../db/schema.ts'
import { TOKEN_KINDS } from '../../db/token-kind.ts'
import type { Token } from './token.ts'

/** A device code with the keyed hash of its user code, and its own value sealed: the device gets it once, a person never. */
type NewDeviceCode = Pick<Token, 'idHash' | 'clientId' | 'payload' | 'expiresAt'> &
  Readonly<{ userCodeHash: Uint8Array; sealedId: Uint8Array }>

/** The decision about a device: approved with a grant, or denied. */
type DeviceDecision = Pick<Token, 'idHash' | 'grantId' | 'payload'> &
  Readonly<{ event: NewEvent | undefined }>

type FoundDeviceCode = Readonly<{
  idHash: Uint8Array
  payload: Payload
  isExpired: boolean
  sealedId: Uint8Array
  /** The browser session in which a person is deciding. */
  claimedBy: string | undefined
}>

type Poll = 'in-time' | 'too-soon'
type PollRequest = Readonly<{ idHash: Uint8Array; intervalSeconds: number; stepSeconds: number }>

/** Device codes (RFC 8628) are rows of the token table; this store holds what only they need. */
export function createDeviceCodeStore(database: Database, { events }: { events: EventStore }) {
  return {
    /** @returns false, storing nothing, when another waiting device has the same user code. */
    async insert({ idHash, userCodeHash, sealedId, clientId, payload, expiresAt }: NewDeviceCode) {
      try {
        await database
          .insertInto('oidc_token')
          .values({
            id_hash: idHash,
            kind: TOKEN_KINDS.DeviceCode,
            client_id: clientId,
            user_code_hash: userCodeHash,
            sealed_id: sealedId,
            payload: JSON.stringify(payload),
            expires_at: expiresAt,
          })
          .execute()
        return true
      } catch (error) {
        if (isUniqueViolation(error)) return false
        throw error
      }
    },

    /**
     * Claims a device code for the session of the person who confirmed it. Of several browsers the first claims it; the
     * same session may claim it again.
     *
     * @returns false when another session has claimed it, or it is decided.
     */
    async claim(idHash: Uint8Array, sessionUid: string): Promise<boolean> {
      const taken = JSON.stringify({ inFlight: true, takenBy: sessionUid })
      const { numUpdatedRows } = await database
        .updateTable('oidc_token')
        .set({ payload: sql<string>`payload || ${taken}::jsonb` })
        .where('id_hash', '=', idHash)
        .where(IS_UNDECIDED)
        .where(sql<boolean>`(not payload ? 'inFlight' or payload ->> 'takenBy' = ${sessionUid})`)
        .executeTakeFirst()
      return numUpdatedRows > 0n
    },

    /**
     * Stores the decision about a device with its event. Of any number of decisions the first stands. Rejects with a
     * foreign key violation when the grant has ended.
     *
     * @returns false, changing nothing, when it was decided before.
     */
    async decide({ idHash, grantId, payload, event }: DeviceDecision): Promise<boolean> {
      const decided = { grant_id: grantId ?? null, payload: JSON.stringify(payload) }
      const change = async (transaction: Database) => {
        const { numUpdatedRows } = await transaction
          .updateTable('oidc_token')
          .set(decided)
          .where('id_hash', '=', idHash)
          .where(IS_UNDECIDED)
          .executeTakeFirst()
        return numUpdatedRows > 0n
      }
      return event === undefined ? await change(database) : await events.changeAndRecord(event, change)
    },

    /** Allows the user code to be entered again after an interrupted page. A decision stands. */
    async reopen(idHash: Uint8Array): Promise<void> {
      await database
        .updateTable('oidc_token')
        .set({ payload: sql<string>`payload - 'inFlight'` })
        .where('id_hash', '=', idHash)
        .where(IS_UNDECIDED)
        .execute()
    },

    /** Finds a device code by its user code (RFC 8628 §3.3). */
    async findByUserCode(userCodeHash: Uint8Array): Promise<FoundDeviceCode | undefined> {
      const row = await database
        .selectFrom('oidc_token')
        .select(['id_hash', 'payload', 'sealed_id', sql<boolean>`expires_at <= now()`.as('is_expired')])
        .where('user_code_hash', '=', userCodeHash)
        .executeTakeFirst()
      if (!row?.sealed_id) return undefined
      const { takenBy, ...payload } = row.payload
      return {
        idHash: row.id_hash,
        payload,
        isExpired: row.is_expired,
        sealedId: row.sealed_id,
        claimedBy: typeof takenBy === 'string' ? takenBy : undefined,
      }
    },

    /**
     * Records the poll of a device (RFC 8628 §3.5), in one statement, so that instances agree.
     *
     * @returns 'too-soon' when the device did not wait for the interval, which then grows by `stepSeconds`.
     */
    poll: createBatcher<PollRequest, Poll>(
      async (polls) => {
        const parameters = columnsOf(
          polls,
          ({ idHash }) => idHash,
          ({ intervalSeconds }) => intervalSeconds,
          ({ stepSeconds }) => stepSeconds,
        )
        const tooSoon = new Map<string, boolean>()
        for (const row of await recordPolls(database, parameters))
          tooSoon.set(hexOf(row.id_hash), row.too_soon)
        return polls.map(({ idHash }) => {
          const answer = tooSoon.get(hexOf(idHash)) ? 'too-soon' : 'in-time'
          // A second poll of one device in the same statement did not wait.
          tooSoon.set(hexOf(idHash), true)
          return answer
        })
      },
      { isIdempotent: false },
    ),
  }
}

const IS_UNDECIDED = sql<boolean>`grant_id is null and not payload ? 'error' and not payload ? 'accountId'`

/** Each poll that came too soon counts, also several of one device in one statement. */
const recordPolls = prepareStatement<{ id_hash: Uint8Array; too_soon: boolean }>(
  'device_poll',
  `with poll as (
      select id_hash, min(interval) as interval, min(step) as step, count(*)::int as times
      from unnest($1::bytea[], $2::int[], $3::int[]) as poll (id_hash, interval, step) group by id_hash
    )
    update oidc_token as current
    set polled_at = now(),
        poll_interval_seconds =
          least(before.interval + before.step * (before.times - case when before.too_soon then 0 else 1 end), 300)
    from (
      select token.id_hash, poll.step, poll.times, coalesce(poll_interval_seconds, poll.interval) as interval,
             coalesce(polled_at + make_interval(secs => coalesce(poll_interval_seconds, poll.interval)) > now(), false) as too_soon
      from poll join oidc_token as token on token.id_hash = poll.id_hash
      where token.kind = ${TOKEN_KINDS.DeviceCode}
      order by token.id_hash
      for update of token
    ) as before
    where current.id_hash = before.id_hash
    returning current.id_hash, before.too_soon`,
)
