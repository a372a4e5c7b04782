import { insertNewEvents } from '../../audit/event.ts'
import { prepareStatement } from '../../db/prepared-statement.ts'
import {
  authorizationsOfClient,
  authorizationsOfEndedSessions,
  CAUSE_COLUMNS,
  deleteGrants,
  deleteRememberedBrowsers,
  endSessions,
  GRANTS_OF_AUTHORIZATIONS,
  GRANTS_OF_FAMILIES,
  IS_OF_FAMILY,
  keptGrants,
  LOGOUTS_OF_AUTHORIZATIONS,
  LOGOUTS_WITHOUT_SESSION,
  lockFamilies,
  queueLogouts,
  recordEndedSessions,
  revokedRows,
} from './fragments.ts'

// One statement per kind of revocation. `$1` holds the items as JSON and `$2` the events of `EventStore.serialize`.

const SESSION_COLUMNS = `uid text, ${CAUSE_COLUMNS}`
const BROWSER_COLUMNS = `id uuid, ${CAUSE_COLUMNS}`
const FAMILY_COLUMNS = `grant_id text, family uuid, ${SESSION_COLUMNS}`
const ACCOUNT_COLUMNS = `account_sub uuid, except_uid text, ${CAUSE_COLUMNS}`

const recordEvents = (parameter = '$2') => `recorded_event as (${insertNewEvents(parameter)})`

function compose<Row>(name: string, ctes: readonly string[], result = '') {
  return prepareStatement<Row>(name, `with ${ctes.join(', ')} select ${result}`)
}

/** Revokes sessions by `uid`, with their grants and the remembered browsers that they are in. */
export const revokeSessions = compose('revoke_sessions', [
  revokedRows(SESSION_COLUMNS),
  endSessions('session.uid = revoked.uid'),
  authorizationsOfEndedSessions(),
  deleteGrants(GRANTS_OF_AUTHORIZATIONS),
  deleteRememberedBrowsers('select remembered_id from ended_session'),
  queueLogouts(LOGOUTS_OF_AUTHORIZATIONS),
  recordEndedSessions(),
  recordEvents(),
])

/** Revokes remembered browsers by `id`, with their sessions. */
export const revokeBrowsers = compose('revoke_browsers', [
  revokedRows(BROWSER_COLUMNS),
  endSessions('session.remembered_id = revoked.id'),
  authorizationsOfEndedSessions(),
  deleteGrants(GRANTS_OF_AUTHORIZATIONS),
  deleteRememberedBrowsers('select id from revoked'),
  queueLogouts(LOGOUTS_OF_AUTHORIZATIONS),
  recordEndedSessions(),
  recordEvents(),
])

/** Revokes token families with the sessions that their refresh tokens belong to; a family without one has no `uid`. */
export const revokeFamilies = compose('revoke_families', [
  revokedRows(FAMILY_COLUMNS),
  endSessions('session.uid = revoked.uid'),
  authorizationsOfEndedSessions(),
  lockFamilies(),
  `ended_grant as (${GRANTS_OF_AUTHORIZATIONS} union ${GRANTS_OF_FAMILIES})`,
  deleteGrants('select grant_id from ended_grant'),
  // Tokens under a deleted grant are left to its foreign key.
  `deleted_token as (
      delete from oidc_token where id_hash = any(array(select id_hash from family_token))
        and grant_id not in (select grant_id from ended_grant where grant_id is not null)
    )`,
  deleteRememberedBrowsers('select remembered_id from ended_session'),
  queueLogouts(LOGOUTS_OF_AUTHORIZATIONS),
  recordEndedSessions(),
  recordEvents(),
])

/** Revokes everything of the one account in `revoked`, except the session `except_uid` with its apps and its remembered browser. */
export const revokeAccount = compose<{ sessions: number; browsers: number; grants: number }>(
  'revoke_account',
  [
    revokedRows(ACCOUNT_COLUMNS),
    endSessions(
      'session.account_sub = revoked.account_sub and session.uid is distinct from revoked.except_uid',
    ),
    authorizationsOfEndedSessions(),
    keptGrants(),
    deleteGrants(`select id from oidc_grant
        where account_sub = (select account_sub from revoked)
          and id not in (select grant_id from kept_grant where grant_id is not null)`),
    deleteRememberedBrowsers(`select browser.id from remembered_browser as browser
        where browser.account_sub = (select account_sub from revoked) and not exists (
          select from oidc_session
          where uid = (select except_uid from revoked) and remembered_id = browser.id and ended_at is null
        )`),
    queueLogouts(LOGOUTS_OF_AUTHORIZATIONS, LOGOUTS_WITHOUT_SESSION),
    recordEndedSessions(),
    recordEvents(),
  ],
  `(select count(distinct uid)::int from ended_session where account_sub is not null) as sessions,
    (select count(*)::int from deleted_browser) as browsers, (select count(*)::int from deleted_grant) as grants`,
)

/** Revokes consents for a client with its grants, in every browser. The sessions go on. */
export const revokeConsents = compose('revoke_consents', [
  revokedRows('account_sub uuid, client_id text'),
  authorizationsOfClient('session.account_sub = revoked.account_sub'),
  deleteGrants(`select oidc_grant.id from revoked
        join oidc_grant on oidc_grant.account_sub = revoked.account_sub and oidc_grant.client_id = revoked.client_id`),
  `deleted_consent as (
      delete from consent using revoked
      where consent.account_sub = revoked.account_sub and consent.client_id = revoked.client_id
    )`,
  queueLogouts(LOGOUTS_OF_AUTHORIZATIONS, LOGOUTS_WITHOUT_SESSION),
  recordEvents(),
])

/** Revokes the authorizations of sessions at one client. The sessions go on. */
export const revokeAuthorizations = compose('revoke_authorizations', [
  revokedRows('uid text, client_id text'),
  authorizationsOfClient('session.uid = revoked.uid'),
  deleteGrants(GRANTS_OF_AUTHORIZATIONS),
  queueLogouts(LOGOUTS_OF_AUTHORIZATIONS),
])

/**
 * Revokes at the request of a client (RFC 7009 §2.1): whole grants `$1`, the tokens of the kinds `$3` under the grants
 * `$2`, and single tokens `$4`; `$5` holds the events. The engine names all of these for one request, so one statement
 * takes them. Tokens under a deleted grant are left to its foreign key.
 */
export const revokeTokens = compose('revoke_tokens', [
  deleteGrants('select unnest($1::text[])'),
  `token_of_kind as (
      delete from oidc_token as token using unnest($2::text[], $3::smallint[]) as revoked (grant_id, kind)
      where token.grant_id = revoked.grant_id and token.kind = revoked.kind and token.grant_id <> all($1)
    )`,
  `single_token as (
      delete from oidc_token as token
      where token.id_hash = any($4::bytea[]) and (token.grant_id is null or token.grant_id <> all($1))
    )`,
  recordEvents('$5'),
])

/** Finds a live session of the items: it got a new identifier while the revocation waited for a row lock. */
export const findLiveSession = prepareStatement(
  'revoke_sessions_missed',
  `with ${revokedRows(SESSION_COLUMNS)}
    select from revoked join oidc_session as session on session.uid = revoked.uid where session.ended_at is null limit 1`,
)

/** Finds a live session of the items' browsers. @see {@link findLiveSession} */
export const findLiveBrowserSession = prepareStatement(
  'revoke_browsers_missed',
  `with ${revokedRows(BROWSER_COLUMNS)}
    select from revoked join oidc_session as session on session.remembered_id = revoked.id
    where session.ended_at is null limit 1`,
)

/** Finds a token of the items' families, or a live session: it was stored while the revocation waited for a row lock. */
export const findLiveFamily = prepareStatement(
  'revoke_families_missed',
  `with ${revokedRows(FAMILY_COLUMNS)}
    select from revoked
    where exists (select from oidc_session as session where session.uid = revoked.uid and session.ended_at is null)
      or exists (select from oidc_token as token where token.grant_id = revoked.grant_id and ${IS_OF_FAMILY})
    limit 1`,
)

/** Raises the access epoch of an account, which locks it. */
export const raiseAccessEpoch = prepareStatement<{ accessEpoch: number }>(
  'access_epoch_raise',
  `update account set access_epoch = access_epoch + 1, signed_out_at = now() where sub = $1::uuid
    returning access_epoch as "accessEpoch"`,
)

/** Moves what a revocation excepted, which is all that the account has left, to the new access epoch. */
export const carryOver = prepareStatement(
  'access_epoch_carry_over',
  `with session as (
      update oidc_session set access_epoch = $2 where account_sub = $1::uuid and ended_at is null
    ), browser as (
      update remembered_browser set access_epoch = $2 where account_sub = $1::uuid
    )
    update oidc_grant set access_epoch = $2 where account_sub = $1::uuid`,
)
