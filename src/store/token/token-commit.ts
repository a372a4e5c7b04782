import { insertNewEvents, type NewEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import { createBatcher } from '../../db/batching.ts'
import type { Database } from '../../db/connections.ts'
import { columnsOf, prepareStatement } from '../../db/prepared-statement.ts'
import { type Token, tokenColumns } from './token.ts'

/** The changes of one token request: the token that it spends, the tokens that it issues, and the events. */
export type TokenCommit = Readonly<{
  /** A UUID. Executing a commit again changes nothing. */
  id: string
  /** Hash of the authorization code, device code or refresh token that is spent. */
  spends: Uint8Array
  grantId: string
  /** The session of an authorization code, which must not have ended: sign-out revokes its codes. */
  sessionUid: string | undefined
  tokens: readonly Token[]
  /** The sealed answer, repeatable for `seconds` of the uptime of the instance that made it (refresh replay). */
  answer: Readonly<{ sealed: Uint8Array; seconds: number; madeBy: string }> | undefined
  events: readonly NewEvent[]
}>

/** `committed`: everything is stored. `spent`, `ended`: nothing is, because the token was spent or the grant had ended. */
export type CommitOutcome = 'committed' | 'spent' | 'ended'

/**
 * Commits token requests (RFC 6749 §4.1.2, §6): one statement for all concurrent requests. Of any number of commits that
 * spend one token, over all instances, exactly one is `committed`.
 *
 * The statement locks the grants first, in one order: a concurrent revocation of a grant, or of the account with its
 * grants, waits for this statement or is waited for. It then locks the spent tokens, in one order, too, so that two
 * instances with the same requests do not deadlock.
 */
export function createTokenCommit(database: Database, { events }: { events: Pick<EventStore, 'serialize'> }) {
  return createBatcher<TokenCommit, CommitOutcome>(async (commits) => {
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

// The statement composes the CTEs below. Parameters: $1 to $7 the commits, $8 to $14 their tokens, $15 their events.

/** CTE `given`: the commits, one row each. */
const GIVEN = `given as (
      select * from unnest($1::uuid[], $2::bytea[], $3::text[], $4::bytea[], $5::int[], $6::uuid[], $7::text[])
        as given (id, spends, grant_id, answer, answer_seconds, made_by, session_uid)
    )`

/** CTE `live_grant`: the grants of active accounts at the current access epoch, locked in one order. */
const LIVE_GRANT = `live_grant as materialized (
      select oidc_grant.id from oidc_grant join account on account.sub = oidc_grant.account_sub
      where oidc_grant.id = any($3) and account.status = 'active' and oidc_grant.access_epoch = account.access_epoch
      order by oidc_grant.id for key share of oidc_grant
    )`

/** CTE `locked`: the tokens to spend, locked in one order. */
const LOCKED = `locked as materialized (
      select token.id_hash, token.grant_id, token.family
      from oidc_token as token join live_grant on live_grant.id = token.grant_id
      where token.id_hash = any($2)
      order by token.id_hash for no key update of token
    )`

const IS_SESSION_LIVE = `(given.session_uid is null
          or exists (select from oidc_session where uid = given.session_uid and ended_at is null))`

/**
 * CTE `spent`: spends the tokens, each for one commit, or again for the commit that spent it. The family of the new tokens
 * is the commit that spent the code.
 */
const SPENT = `spent as (
      update oidc_token as token set consumed_at = coalesce(token.consumed_at, now()), consumed_by = given.id
      from given join locked on locked.id_hash = given.spends and locked.grant_id = given.grant_id
      where token.id_hash = locked.id_hash
        and (token.consumed_at is null or token.consumed_by = given.id)
        and ${IS_SESSION_LIVE}
      returning given.id, coalesce(locked.family, given.id) as family
    )`

const ISSUED = `issued as (
      insert into oidc_token (id_hash, kind, grant_id, family, client_id, payload, expires_at)
      select id_hash, kind, grant_id, spent.family, client_id, payload::jsonb, to_timestamp(expires_at)
      from unnest($8::uuid[], $9::bytea[], $10::smallint[], $11::text[], $12::text[], $13::text[], $14::float8[])
        as new_token (commit_id, id_hash, kind, grant_id, client_id, payload, expires_at)
      join spent on spent.id = new_token.commit_id
      on conflict (id_hash) do nothing
    )`

const ANSWERED = `answered as (
      insert into oidc_refresh_answer (id_hash, sealed_answer, expires_at, repeat_seconds, made_by)
      select given.spends, given.answer, now() + make_interval(secs => given.answer_seconds), given.answer_seconds, given.made_by
      from given join spent on spent.id = given.id
      where given.answer is not null
      on conflict (id_hash) do nothing
    )`

const RECORDED = `recorded as (${insertNewEvents('$15', 'new_event.key in (select id from spent)')})`

const commitTokens = prepareStatement<{ id: string; outcome: CommitOutcome }>(
  'token_commit',
  `with ${[GIVEN, LIVE_GRANT, LOCKED, SPENT, ISSUED, ANSWERED, RECORDED].join(', ')}
    select given.id, case when spent.id is not null then 'committed'
        when live_grant.id is null or not ${IS_SESSION_LIVE} then 'ended' else 'spent' end as outcome
    from given left join spent on spent.id = given.id left join live_grant on live_grant.id = given.grant_id`,
)
