import { createBatcher, createLookup } from '../../db/batching.ts'
import type { Database } from '../../db/connections.ts'
import { expiredRowsOf } from '../../db/expired-rows.ts'
import { columnsOf, prepareStatement } from '../../db/prepared-statement.ts'
import type { Payload } from '../../db/schema.ts'
import { TOKEN_KINDS, type TokenKind } from '../../db/token-kind.ts'
import { ACCOUNT_COLUMNS, type Account, type AccountRow, toAccount } from '../account/account.ts'
import type { SessionState } from '../session/session.ts'

/*
 * The room store/token: tokens, codes and grants; token-commit.ts spends and issues them in one statement. Refresh replay
 * and the uptime of instances, replay detection, and the requests that wait for a person or a client.
 */

export type Token = Readonly<{
  idHash: Uint8Array
  kind: TokenKind
  grantId: string | undefined
  clientId: string
  payload: Payload
  expiresAt: Date
}>

/**
 * A token with its grant and session, as read in one statement. Includes expired tokens; excludes those of an older
 * access epoch of the person.
 */
export type FoundToken = Readonly<{
  kind: number
  payload: Payload
  isExpired: boolean
  /** undefined: it was not spent. By the clock of the database. */
  spentSecondsAgo: number | undefined
  /** The commit that spent it. */
  consumedBy: string | undefined
  /** The commit that spent the token's code; undefined when the previous version issued it. */
  family: string | undefined
  grant: Readonly<{ id: string; payload: Payload }> | undefined
  account: Account | undefined
  /** The session of a token that ends with it; `state` is undefined when the session has ended or expired. */
  session: Readonly<{ uid: string; state: SessionState | undefined }> | undefined
}>

export type TokenStore = ReturnType<typeof createTokenStore>

export function createTokenStore(database: Database) {
  return {
    /** Finds a token together with its grant, that grant's account, and the session that it ends with. */
    find: createLookup((idHashes) => findTokens(database, [idHashes]), toFoundToken),

    /** Stores a new token. Rejects with a foreign key violation when its grant has ended. */
    insert: createBatcher<Token, void>(async (tokens) => {
      await insertTokens(database, tokenColumns(tokens))
      return []
    }),

    /**
     * Counts a failed attempt of a client to prove that an authorization code is its own (RFC 7636 §4.6), and deletes the
     * code at the last attempt that is allowed.
     *
     * @returns whether this attempt deleted it.
     */
    async recordMiss(idHash: Uint8Array, mostMisses: number): Promise<boolean> {
      const [row] = await recordMiss(database, [idHash, mostMisses])
      return row?.ended === true
    },

    ...expiredRowsOf(database, 'oidc_token'),
  }
}

/** The parameters of new tokens, one array per column: `id_hash`, `kind`, `grant_id`, `client_id`, `payload`, `expires_at`. */
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

const findTokens = prepareStatement<FoundRow>(
  'token_find',
  `select token.id_hash, token.kind, token.payload::text as payload, token.expires_at <= now() as is_expired,
      extract(epoch from now() - token.consumed_at)::float8 as spent_seconds_ago, token.consumed_by, token.family,
      token.grant_id, oidc_grant.payload::text as grant_payload,
      ${ACCOUNT_COLUMNS},
      case when token.payload -> 'expiresWithSession' = 'true' then token.payload ->> 'sessionUid' end as session_uid,
      session.payload::text as session_payload, session.access_epoch as session_access_epoch,
      session.seen_at as session_seen_at, now() as read_at
    from oidc_token as token
    left join oidc_grant on oidc_grant.id = token.grant_id and oidc_grant.expires_at > now()
    left join account on account.sub = oidc_grant.account_sub
    left join lateral (
      select payload, access_epoch, seen_at from oidc_session
      where token.payload -> 'expiresWithSession' = 'true' and uid = token.payload ->> 'sessionUid' and ended_at is null
        and expires_at > now()
      order by expires_at desc limit 1
    ) as session on true
    where token.id_hash = any($1::bytea[])
      and (token.grant_id is null or oidc_grant.access_epoch = account.access_epoch)`,
)

const insertTokens = prepareStatement(
  'token_insert',
  `insert into oidc_token (id_hash, kind, grant_id, client_id, payload, expires_at)
    select id_hash, kind, grant_id, client_id, payload::jsonb, to_timestamp(expires_at)
    from unnest($1::bytea[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::float8[])
      as new_token (id_hash, kind, grant_id, client_id, payload, expires_at)
    on conflict (id_hash) do nothing`,
)

const recordMiss = prepareStatement<{ ended: boolean }>(
  'token_miss',
  `with missed as (
      update oidc_token set misses = coalesce(misses, 0) + 1
      where id_hash = $1 and consumed_at is null and coalesce(misses, 0) + 1 < $2::int
      returning 1
    ), ended as (
      delete from oidc_token
      where id_hash = $1 and consumed_at is null and not exists (select from missed)
      returning 1
    )
    select exists (select from ended) as ended`,
)

type FoundRow = Omit<AccountRow, 'sub'> & {
  id_hash: Uint8Array
  kind: number
  payload: string
  is_expired: boolean
  read_at: Date
  spent_seconds_ago: number | null
  consumed_by: string | null
  family: string | null
  grant_id: string | null
  grant_payload: string | null
  sub: string | null
  session_uid: string | null
  session_payload: string | null
  session_access_epoch: number | null
  session_seen_at: Date | null
}

/** Parses the JSON for each caller, because the engine modifies the objects that it gets. */
function toFoundToken(row: FoundRow): FoundToken {
  const { sub } = row
  return {
    kind: row.kind,
    payload: JSON.parse(row.payload),
    isExpired: row.is_expired,
    spentSecondsAgo: row.spent_seconds_ago ?? undefined,
    consumedBy: row.consumed_by ?? undefined,
    family: row.family ?? undefined,
    grant:
      row.grant_id !== null && row.grant_payload !== null
        ? { id: row.grant_id, payload: JSON.parse(row.grant_payload) }
        : undefined,
    account: sub === null ? undefined : toAccount({ ...row, sub }),
    session: row.session_uid === null ? undefined : { uid: row.session_uid, state: toSessionState(row) },
  }
}

function toSessionState(row: FoundRow): SessionState | undefined {
  const { session_payload: payload, session_access_epoch: accessEpoch, session_seen_at: seenAt } = row
  if (payload === null || accessEpoch === null || seenAt === null) return undefined
  return { payload: JSON.parse(payload), accessEpoch, seenAt, readAt: row.read_at }
}
