import { sql } from 'kysely'
import type { NewEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import { createBatcher, hexOf } from '../../db/batching.ts'
import type { Database } from '../../db/connections.ts'
import { isUniqueViolation } from '../../db/database-error.ts'
import { columnsOf, prepareStatement } from '../../db/prepared-statement.ts'
import type { Payload } from '../../db/schema.ts'
import { TOKEN_KINDS } from '../token-kind.ts'
import type { Token } from './token.ts'

/** A device code with the keyed hash of its user code, and itself sealed: devices are told it once, people never. */
export type NewDeviceCode = Pick<Token, 'idHash' | 'clientId' | 'payload' | 'expiresAt'> &
  Readonly<{ userCodeHash: Uint8Array; sealedId: Uint8Array }>

/** What became of a device: approved with a grant, or not at all. */
export type DeviceDecision = Pick<Token, 'idHash' | 'grantId' | 'payload'> &
  Readonly<{ event: NewEvent | undefined }>

export type FoundDeviceCode = Readonly<{
  idHash: Uint8Array
  payload: Payload
  isExpired: boolean
  sealedId: Uint8Array
  /** The browser session that is about to decide, if one is. */
  takenBy: string | undefined
}>

export type Poll = 'in-time' | 'too-soon'
type PollRequest = Readonly<{ idHash: Uint8Array; intervalSeconds: number; stepSeconds: number }>

export type DeviceCodeStore = ReturnType<typeof createDeviceCodeStore>

/** Device codes are tokens; what only they go through is here. */
export function createDeviceCodeStore(database: Database, { events }: { events: EventStore }) {
  return {
    /** @returns false when a device that is still waiting was told the same user code. Nothing is stored then. */
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
     * A person said yes and goes on to sign in. Of several browsers with one code the first has it; it may begin again.
     *
     * @returns false when another browser has it, or it is decided.
     */
    async take(idHash: Uint8Array, sessionUid: string): Promise<boolean> {
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
     * Stores what was decided about a device, with its event. Of any number of decisions the first stands. Rejects with
     * a foreign key violation when the grant has ended.
     *
     * @returns false when it was decided before; nothing changes then.
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

    /** Lets a person type the code again whose page was interrupted. What they decided about the device stands. */
    async reopen(idHash: Uint8Array): Promise<void> {
      await database
        .updateTable('oidc_token')
        .set({ payload: sql<string>`payload - 'inFlight'` })
        .where('id_hash', '=', idHash)
        .where(IS_UNDECIDED)
        .execute()
    },

    /** Finds the device code that a person was told the user code of (RFC 8628 §3.3). */
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
        takenBy: typeof takenBy === 'string' ? takenBy : undefined,
      }
    },

    /**
     * Notes that a device polls (RFC 8628 §3.5). One statement, so that instances agree.
     *
     * @returns 'too-soon' when it did not wait for the interval, which then grows by `stepSeconds`.
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
        for (const row of await notePolls(database, parameters)) tooSoon.set(hexOf(row.id_hash), row.too_soon)
        return polls.map(({ idHash }) => {
          const answer = tooSoon.get(hexOf(idHash)) ? 'too-soon' : 'in-time'
          // A second poll of the same device in the same statement did not wait.
          tooSoon.set(hexOf(idHash), true)
          return answer
        })
      },
      { isIdempotent: false },
    ),
  }
}

const IS_UNDECIDED = sql<boolean>`grant_id is null and not payload ? 'error' and not payload ? 'accountId'`

/** Every poll that came too soon counts, also of several in one statement. */
const notePolls = prepareStatement<{ id_hash: Uint8Array; too_soon: boolean }>(
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
