import type { NewEvent } from '../../audit/event.ts'
import { insertNewEvents } from '../../audit/event-insert.ts'
import type { EventStore } from '../../audit/event-store.ts'
import { createBatcher } from '../../db/batching.ts'
import type { Database } from '../../db/connections.ts'
import { columnsOf, prepareStatement } from '../../db/prepared-statement.ts'
import { type Token, tokenColumns } from './token.ts'

/** All that a token request changes: what it spends, what it issues instead, and what is recorded of it. */
export type TokenCommit = Readonly<{
  /** A UUID. Committing the same commit again changes nothing. */
  id: string
  /** Hash of the authorization code, device code or refresh token that is spent. */
  spends: Uint8Array
  grantId: string
  /** The session of an authorization code, which must not have ended: sign-out revokes its codes. */
  sessionUid: string | undefined
  tokens: readonly Token[]
  /**
   * The sealed answer for the same client's retries, repeatable for `seconds` of the uptime of the instance that made
   * it.
   */
  answer: Readonly<{ sealed: Uint8Array; seconds: number; madeBy: string }> | undefined
  events: readonly NewEvent[]
}>

/** What became of it: all of it is stored, or none because the token had been spent or the grant had ended. */
export type CommitOutcome = 'committed' | 'spent' | 'ended'

/**
 * Commits token requests (RFC 6749 §4.1.2, §6): one statement for all that come at once. Of any number of commits
 * that spend one token, over all instances, exactly one is `committed`.
 *
 * Grants are locked first, in one order: whoever ends a grant waits for this statement or is waited for, and so does
 * whoever disables the account, because that ends its grants. What is spent is locked next, in one order too: two
 * instances that got the same requests would otherwise wait for each other, and Postgres notices that after a second.
 */
export function createTokenCommit(
  database: Database,
  { events }: { events: Pick<EventStore, 'serialize'> },
): (commit: TokenCommit) => Promise<CommitOutcome> {
  return createBatcher(async (commits) => {
    const tokens = commits.flatMap(({ id, tokens }) => tokens.map((token) => ({ commit: id, token })))
    const recorded = commits.flatMap((commit) => commit.events.map((event) => ({ key: commit.id, event })))
    const rows = await commitTokens(database, [
      ...columnsOf(
        commits,
        ({ id }) => id,
        ({ spends }) => spends,
        ({ grantId }) => grantId,
        ({ answer }) => answer?.sealed ?? null,
        ({ answer }) => answer?.seconds ?? null,
        ({ answer }) => answer?.madeBy ?? null,
        ({ sessionUid }) => sessionUid ?? null,
      ),
      tokens.map(({ commit }) => commit),
      ...tokenColumns(tokens.map(({ token }) => token)),
      events.serialize(recorded),
    ])
    const outcomes = new Map(rows.map(({ id, outcome }) => [id, outcome]))
    return commits.map(({ id }) => outcomes.get(id) ?? 'ended')
  })
}

const SESSION_LIVES = `(given.session_uid is null
          or exists (select from oidc_session where uid = given.session_uid and ended_at is null))`

const commitTokens = prepareStatement<{ id: string; outcome: CommitOutcome }>(
  'token_commit',
  `with given as (
      select * from unnest($1::uuid[], $2::bytea[], $3::text[], $4::bytea[], $5::int[], $6::uuid[], $7::text[])
        as given (id, spends, grant_id, answer, answer_seconds, made_by, session_uid)
    ), alive as materialized (
      select oidc_grant.id from oidc_grant join account on account.sub = oidc_grant.account_sub
      where oidc_grant.id = any($3) and account.status = 'active' and oidc_grant.access_epoch = account.access_epoch
      order by oidc_grant.id for key share of oidc_grant
    ), held as materialized (
      select token.id_hash, token.grant_id, token.family from oidc_token as token join alive on alive.id = token.grant_id
      where token.id_hash = any($2)
      order by token.id_hash for no key update of token
    ), spent as (
      update oidc_token as token set consumed_at = coalesce(token.consumed_at, now()), consumed_by = given.id
      from given join held on held.id_hash = given.spends and held.grant_id = given.grant_id
      where token.id_hash = held.id_hash
        and (token.consumed_at is null or token.consumed_by = given.id)
        and ${SESSION_LIVES}
      -- A code begins a family; a refresh token continues its own.
      returning given.id, coalesce(held.family, given.id) as family
    ), issued as (
      insert into oidc_token (id_hash, kind, grant_id, family, client_id, payload, expires_at)
      select id_hash, kind, grant_id, spent.family, client_id, payload::jsonb, to_timestamp(expires_at)
      from unnest($8::uuid[], $9::bytea[], $10::smallint[], $11::text[], $12::text[], $13::text[], $14::float8[])
        as new_token (commit_id, id_hash, kind, grant_id, client_id, payload, expires_at)
      join spent on spent.id = new_token.commit_id
      on conflict (id_hash) do nothing
    ), answered as (
      insert into oidc_refresh_answer (id_hash, sealed_answer, expires_at, repeat_seconds, made_by)
      select given.spends, given.answer, now() + make_interval(secs => given.answer_seconds), given.answer_seconds, given.made_by
      from given join spent on spent.id = given.id
      where given.answer is not null
      on conflict (id_hash) do nothing
    ), recorded as (${insertNewEvents('$15', 'new_event.key in (select id from spent)')})
   
    select given.id, case when spent.id is not null then 'committed'
        when alive.id is null or not ${SESSION_LIVES} then 'ended' else 'spent' end as outcome
    from given left join spent on spent.id = given.id left join alive on alive.id = given.grant_id`,
)
