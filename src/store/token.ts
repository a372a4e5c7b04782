import { sql } from 'kysely'
import { ACCOUNT_COLUMNS, type Account, type AccountRow, toAccount } from './account.ts'
import { createBatcher } from './batching.ts'
import type { Database } from './database.ts'
import { type NewEvent, recordEvents } from './event.ts'
import { expiryOf } from './expired.ts'
import type { Payload } from './schema.ts'
import type { SessionState } from './session.ts'
import { columnsOf, defineStatement } from './statement.ts'
import { TOKEN_KINDS, type TokenKind } from './token-kind.ts'

export type Token = Readonly<{
  idHash: Uint8Array
  kind: TokenKind
  grantId: string | undefined
  clientId: string
  payload: Payload
  expiresAt: Date
}>

/** A device code with the fingerprint of its user code, and itself sealed: devices are told it once, people never. */
export type DeviceCode = Token &
  Readonly<{ device?: Readonly<{ userCodeHash: Uint8Array; sealedId: Uint8Array }> | undefined }>

/** A token and what it hangs on, as one statement found them. Expired ones are found, too. */
export type FoundToken = Readonly<{
  kind: number
  payload: Payload
  /** undefined: it was not spent. By the clock of the database. */
  spentSecondsAgo: number | undefined
  /** The commit that spent it. */
  consumedBy: string | undefined
  grant: Readonly<{ id: string; payload: Payload }> | undefined
  account: Account | undefined
  /** Of a token that ends with its session; `state` is undefined when the session has ended. */
  session: Readonly<{ uid: string; state: SessionState | undefined }> | undefined
}>

export type Poll = 'in-time' | 'too-soon'
type PollRequest = Readonly<{ idHash: Uint8Array; intervalSeconds: number; stepSeconds: number }>

export type TokenStore = ReturnType<typeof createTokenStore>

export function createTokenStore(database: Database) {
  return {
    /** Finds a token together with its grant, that grant's account, and the session that it ends with. */
    find: createBatcher<Uint8Array, FoundToken | undefined>(async (idHashes) => {
      const rows = await findTokens(database, [idHashes])
      const byHash = new Map(rows.map((row) => [hex(row.id_hash), row]))
      return idHashes.map((idHash) => {
        const row = byHash.get(hex(idHash))
        return row && toFoundToken(row)
      })
    }),

    /** Stores a new token. Rejects with a foreign key violation when its grant has ended. */
    insert: createBatcher<Token, void>(async (tokens) => {
      await insertTokens(database, tokenColumns(tokens))
      return []
    }),

    /** Stores a device code, or its new state, with what is recorded of it: it is stored three times. Whether it was spent is kept. */
    async upsertDeviceCode({
      idHash,
      grantId,
      clientId,
      payload,
      expiresAt,
      device,
      events = [],
    }: DeviceCode & { events?: readonly NewEvent[] }): Promise<void> {
      const changing = { grant_id: grantId ?? null, payload: JSON.stringify(payload), expires_at: expiresAt }
      await database.transaction().execute(async (transaction) => {
        await recordEvents(transaction, events)
        await transaction
          .insertInto('oidc_token')
          .values({
            id_hash: idHash,
            kind: TOKEN_KINDS.DeviceCode,
            client_id: clientId,
            user_code_hash: device?.userCodeHash ?? null,
            sealed_id: device?.sealedId ?? null,
            poll_interval_seconds: null,
            ...changing,
          })
          .onConflict((conflict) => conflict.column('id_hash').doUpdateSet(changing))
          .execute()
      })
    },

    /** Lets a person type the code again whose page was interrupted. What they decided about the device stands. */
    async reopenDeviceCode(idHash: Uint8Array): Promise<void> {
      await database
        .updateTable('oidc_token')
        .set({ payload: sql<string>`payload - 'inFlight'` })
        .where('id_hash', '=', idHash)
        .where('grant_id', 'is', null)
        .where(sql<boolean>`not payload ? 'error'`)
        .execute()
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
    poll: createBatcher<PollRequest, Poll>(
      async (polls) => {
        const parameters = columnsOf(
          polls,
          ({ idHash }) => idHash,
          ({ intervalSeconds }) => intervalSeconds,
          ({ stepSeconds }) => stepSeconds,
        )
        const tooSoon = new Map<string, boolean>()
        for (const row of await notePolls(database, parameters)) tooSoon.set(hex(row.id_hash), row.too_soon)
        return polls.map(({ idHash }) => {
          const answer = tooSoon.get(hex(idHash)) ? 'too-soon' : 'in-time'
          // A second poll of the same device in the same statement did not wait.
          tooSoon.set(hex(idHash), true)
          return answer
        })
      },
      { isRepeatable: false },
    ),

    ...expiryOf(database, 'oidc_token'),
  }
}

/** The parameters that rows of new tokens are made of, in the order of {@link TOKEN_ROW}. */
export function tokenColumns(tokens: readonly Token[]): unknown[][] {
  return columnsOf(
    tokens,
    ({ idHash }) => idHash,
    ({ kind }) => TOKEN_KINDS[kind],
    ({ grantId }) => grantId ?? null,
    ({ clientId }) => clientId,
    ({ payload }) => JSON.stringify(payload),
    ({ expiresAt }) => expiresAt.getTime() / 1000,
  )
}

const findTokens = defineStatement<FoundRow>(
  'token_find',
  `select token.id_hash, token.kind, token.payload::text as payload,
      extract(epoch from now() - token.consumed_at)::float8 as spent_seconds_ago, token.consumed_by,
      token.grant_id, oidc_grant.payload::text as grant_payload,
      ${ACCOUNT_COLUMNS},
      case when token.payload -> 'expiresWithSession' = 'true' then token.payload ->> 'sessionUid' end as session_uid,
      session.payload::text as session_payload, session.seen_at as session_seen_at
    from oidc_token as token
    left join oidc_grant on oidc_grant.id = token.grant_id
    left join account on account.sub = oidc_grant.account_sub
    left join lateral (
      select payload, seen_at from oidc_session
      where token.payload -> 'expiresWithSession' = 'true' and uid = token.payload ->> 'sessionUid' and ended_at is null
      order by expires_at desc limit 1
    ) as session on true
    where token.id_hash = any($1::bytea[])`,
)

const insertTokens = defineStatement(
  'token_insert',
  `insert into oidc_token (id_hash, kind, grant_id, client_id, payload, expires_at)
    select id_hash, kind, grant_id, client_id, payload::jsonb, to_timestamp(expires_at)
    from unnest($1::bytea[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::float8[])
      as new_token (id_hash, kind, grant_id, client_id, payload, expires_at)
    on conflict (id_hash) do nothing`,
)

const notePolls = defineStatement<{ id_hash: Uint8Array; too_soon: boolean }>(
  'device_poll',
  `update oidc_token as current
    set polled_at = now(),
        poll_interval_seconds = case when before.too_soon then least(before.interval + before.step, 300) else before.interval end
    from (
      select token.id_hash, poll.step, coalesce(poll_interval_seconds, poll.interval) as interval,
             coalesce(polled_at + make_interval(secs => coalesce(poll_interval_seconds, poll.interval)) > now(), false) as too_soon
      from unnest($1::bytea[], $2::int[], $3::int[]) as poll (id_hash, interval, step)
      join oidc_token as token on token.id_hash = poll.id_hash
      where token.kind = ${TOKEN_KINDS.DeviceCode}
      order by token.id_hash
      for update of token
    ) as before
    where current.id_hash = before.id_hash
    returning current.id_hash, before.too_soon`,
)

type FoundRow = Omit<AccountRow, 'sub'> & {
  id_hash: Uint8Array
  kind: number
  payload: string
  spent_seconds_ago: number | null
  consumed_by: string | null
  grant_id: string | null
  grant_payload: string | null
  sub: string | null
  session_uid: string | null
  session_payload: string | null
  session_seen_at: Date | null
}

/** JSON is parsed for each taker: the engine changes what it is given. */
function toFoundToken(row: FoundRow): FoundToken {
  const { sub } = row
  return {
    kind: row.kind,
    payload: JSON.parse(row.payload),
    spentSecondsAgo: row.spent_seconds_ago ?? undefined,
    consumedBy: row.consumed_by ?? undefined,
    grant:
      row.grant_id !== null && row.grant_payload !== null
        ? { id: row.grant_id, payload: JSON.parse(row.grant_payload) }
        : undefined,
    account: sub === null ? undefined : toAccount({ ...row, sub }),
    session:
      row.session_uid === null
        ? undefined
        : {
            uid: row.session_uid,
            state:
              row.session_payload === null || row.session_seen_at === null
                ? undefined
                : { payload: JSON.parse(row.session_payload), seenAt: row.session_seen_at },
          },
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
