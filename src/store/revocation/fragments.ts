import { insertEventsOf } from '../../audit/event.ts'
import { TOKEN_KINDS } from '../../db/token-kind.ts'
import { IS_DEVICE_CLIENT } from '../client/client.ts'

/**
 * Parts of the statements that revoke access. Each function returns one CTE under the name that its docstring states, and
 * reads the CTEs before it by their names; `statements.ts` composes them.
 */

/** The columns of a {@link revokedRows} item that say why, by whose will and by which request a session ends. */
export const CAUSE_COLUMNS = 'reason text, ended_by text, request_id text, address text, user_agent text'

/**
 * CTE `revoked`: one row per item of the JSON parameter `$1`, which names the access to revoke.
 *
 * @param columns the columns of an item with their types.
 */
export function revokedRows(columns: string): string {
  return `revoked as (select revoked.* from json_to_recordset($1::json) as revoked (${columns}))`
}

/**
 * CTE `ended_session`: ends the live sessions that match a row of `revoked`. Their rows stay as tombstones, so that a
 * request in flight cannot store them again.
 *
 * @param condition compares `session` with `revoked`, whose rows have the {@link CAUSE_COLUMNS}.
 */
export function endSessions(condition: string): string {
  return `ended_session as (
      update oidc_session as session set ended_at = now() from revoked
      where ${condition} and session.ended_at is null
      returning session.uid, session.account_sub, session.remembered_id, session.payload,
        revoked.reason, revoked.ended_by, revoked.request_id, revoked.address, revoked.user_agent
    )`
}

/**
 * CTE `ended_authorization`: the clients of each ended session, with grant and `sid`. `is_kept` marks a grant that
 * outlives the session: one with `persistsLogout`, if the client is a device or keeps offline access. After a reused
 * refresh token each grant with `persistsLogout` is kept, because the person did not sign out.
 */
export function authorizationsOfEndedSessions(): string {
  return `ended_authorization as (
      select session.account_sub, client.client_id, entry.value ->> 'grantId' as grant_id, entry.value ->> 'sid' as sid,
        coalesce(entry.value ->> 'persistsLogout' = 'true' and (
          ${IS_DEVICE_CLIENT} or client.metadata ->> 'keep_offline_access' = 'true'
            or session.reason = 'refresh_token_reused'
        ), false) as is_kept,
        ${IS_DEVICE_CLIENT} as is_device
      from ended_session as session
        cross join jsonb_each(coalesce(session.payload -> 'authorizations', '{}')) as entry
        join oidc_client as client on client.client_id = entry.key
    )`
}

/**
 * CTE `ended_authorization`: the authorizations of one client in live sessions, which go on.
 *
 * @param condition compares `session` with `revoked`, whose rows have a `client_id`.
 */
export function authorizationsOfClient(condition: string): string {
  return `ended_authorization as (
      select session.account_sub, revoked.client_id, entry.value ->> 'grantId' as grant_id, entry.value ->> 'sid' as sid,
        false as is_kept, false as is_device
      from revoked join oidc_session as session on ${condition}
        cross join lateral (select session.payload -> 'authorizations' -> revoked.client_id as value) as entry
      where session.ended_at is null and entry.value is not null
    )`
}

/** The grants of `ended_authorization` that end with it. */
export const GRANTS_OF_AUTHORIZATIONS = 'select grant_id from ended_authorization where not is_kept'

/** CTE `kept_grant`: the grants of the excepted session. A device's is not among them: it ends with the account. */
export function keptGrants(): string {
  return `kept_grant as (
      select entry.value ->> 'grantId' as grant_id
      from revoked join oidc_session as session on session.uid = revoked.except_uid
        cross join jsonb_each(coalesce(session.payload -> 'authorizations', '{}')) as entry
        join oidc_client as client on client.client_id = entry.key
      where session.ended_at is null and not ${IS_DEVICE_CLIENT}
    )`
}

/**
 * CTE `deleted_grant`: deletes grants, and by foreign key every token under them. It locks them in one order, so that
 * concurrent revocations do not deadlock. The array makes the planner expect few rows, and use the index.
 *
 * @param grantIds a query for the identifiers.
 */
export function deleteGrants(grantIds: string): string {
  return `deleted_grant as (
      delete from oidc_grant
      where id in (select id from oidc_grant where id = any(array(${grantIds})) order by id for update)
      returning account_sub, client_id
    )`
}

/** CTE `deleted_browser`: forgets remembered browsers. @param ids a query for the identifiers. */
export function deleteRememberedBrowsers(ids: string): string {
  return `deleted_browser as (delete from remembered_browser where id = any(array(${ids})) returning 1)`
}

/** A device that stays signed in gets no logout when the browser that approved it is signed out. */
const IS_LOGGED_OUT = 'not (is_kept and is_device)'

export const LOGOUTS_OF_AUTHORIZATIONS = `select client_id, account_sub, sid from ended_authorization where ${IS_LOGGED_OUT}`

/** The logouts of clients whose deleted grant belongs to none of these authorizations: of the account, without a `sid`. */
export const LOGOUTS_WITHOUT_SESSION = `select client_id, account_sub, null from deleted_grant where not exists (
        select from ended_authorization as ended
        where ended.client_id = deleted_grant.client_id and ended.account_sub = deleted_grant.account_sub
          and ${IS_LOGGED_OUT}
      )`

/**
 * CTE `queued_logout`: queues a back-channel logout for each client that registered a `backchannel_logout_uri`.
 *
 * @param logouts queries for `client_id`, `account_sub` and `sid`; equal rows are queued once.
 */
export function queueLogouts(...logouts: readonly string[]): string {
  return `queued_logout as (
      insert into backchannel_logout (client_id, account_sub, sid)
      select distinct logout.client_id, logout.account_sub, logout.sid
      from (${logouts.join('\n        union all ')}) as logout (client_id, account_sub, sid)
        join oidc_client as client on client.client_id = logout.client_id
      where client.metadata ? 'backchannel_logout_uri' and client.metadata ->> 'disabled' is distinct from 'true'
    )`
}

/** CTE `recorded_session`: records `session.ended` for each ended session that was signed in. */
export function recordEndedSessions(): string {
  const columns = {
    account_sub: 'account_sub',
    session_uid: 'uid',
    request_id: 'request_id',
    address: 'address',
    user_agent: 'user_agent',
    detail: `jsonb_build_object('reason', reason, 'by', ended_by)`,
  }
  const from = '(select distinct on (uid) * from ended_session where account_sub is not null) as session'
  return `recorded_session as (${insertEventsOf('session.ended', columns, from)})`
}

/**
 * Whether `token` belongs to the family of `revoked`. A code belongs to the family that its redemption began. Access and
 * refresh tokens that the previous version issued have no family and count as part of each; without a family, the whole
 * grant is meant.
 */
export const IS_OF_FAMILY = `(revoked.family is null or token.family = revoked.family or token.consumed_by = revoked.family
        or (token.family is null and token.kind in (${TOKEN_KINDS.AccessToken}, ${TOKEN_KINDS.RefreshToken})))`

/** CTE `family_token`: the tokens of the families in `revoked`, locked in one order. */
export function lockFamilies(): string {
  return `family_token as materialized (
      select token.id_hash from revoked join oidc_token as token on token.grant_id = revoked.grant_id
      where ${IS_OF_FAMILY}
      order by token.id_hash for update of token
    )`
}

/** The grants of `revoked` under which no usable token is left outside the family. */
export const GRANTS_OF_FAMILIES = `select grant_id from revoked where not exists (
        select from oidc_token as token
        where token.grant_id = revoked.grant_id and token.consumed_at is null and token.expires_at > now()
          and token.id_hash not in (select id_hash from family_token)
      )`
