import { eventParameters, insertEvents, type NewEvent, NO_ORIGIN, type Origin } from '../../audit/event.ts'
import { createBatcher } from '../../db/batching.ts'
import type { Database } from '../../db/connections.ts'
import { columnsOf, prepareStatement } from '../../db/prepared-statement.ts'
import { TOKEN_KINDS, type TokenKind } from '../token-kind.ts'

/** Why sessions end before their time, and by whose will. */
export type Cause = Readonly<{
  reason:
    | 'signed_out'
    | 'signed_out_elsewhere'
    | 'signed_out_everywhere'
    | 'password_changed'
    | 'account_disabled'
    | 'account_deleted'
    | 'consent_withdrawn'
    | 'session_limit'
    | 'remember_me_off'
    | 'refresh_token_reused'
    | 'browser_reused'
  by: 'person' | 'operator' | 'server'
  origin?: Origin
}>

/** What can be ended before its time, and what is recorded with it. */
export type Ending = Readonly<{ event?: NewEvent | undefined }> &
  Readonly<
    /** A grant with every token under it. */
    | { what: 'grant'; grantId: string }
    /** The tokens of one kind under a grant that stays. */
    | { what: 'tokens'; grantId: string; kind: TokenKind }
    /**
     * The tokens of one family, which came from one authorization code or device code, and the grant if no other token
     * refers to it. Without a family, which the previous version did not record, the whole grant.
     */
    | { what: 'family'; grantId: string; family: string | undefined }
    | { what: 'token'; idHash: Uint8Array }
    /**
     * A browser session, by its `uid`, with the tokens issued through it, and the remembered browser that it is in.
     * Requests in flight cannot restore it. Tokens of devices stay, and those with `offline_access` of clients with
     * `keep_offline_access`; after a reused refresh token those of every client, since the person did not sign out.
     */
    | { what: 'session'; uid: string; cause: Cause }
    /** What a session is signed in to at one client; the session goes on. */
    | { what: 'authorization'; uid: string; clientId: string; cause: Cause }
    /** A remembered browser, and the sessions that it was signed in to. */
    | { what: 'browser'; id: string; cause: Cause }
    /** @see endPerson */
    | ({ what: 'person' } & PersonEnding)
    /** What a person let a client do, everywhere. */
    | { what: 'consent'; sub: string; clientId: string; cause: Cause }
  >

/**
 * All sessions, grants and remembered browsers of a person, devices included, except the session that requests it, if
 * one is named.
 */
export type PersonEnding = Readonly<{
  sub: string
  exceptSessionUid?: string | undefined
  cause: Cause
  event?: NewEvent | undefined
}>

/** How much was ended. */
export type Ended = Readonly<{ sessions: number; browsers: number; grants: number }>

/**
 * Ends things (RFC 7009 §2.1). The engine asks for each kind of token and for the grant by itself, all at once: they
 * become one statement, so they cannot wait for each other's locks.
 */
export function createEnding(database: Database): (ending: Ending) => Promise<void> {
  return createBatcher<Ending, void>(async (endings) => {
    await endNow(database, endings)
    return []
  })
}

/**
 * Revokes all sessions, grants and remembered browsers of a person. The account's access epoch is raised first, which
 * locks the account: every statement that stores one of these compares the epoch under a lock of the same row. Such a
 * statement either committed before, and its rows are revoked here, or finds the new epoch and stores nothing.
 *
 * @param transaction in which all of it happens.
 * @returns the new epoch, to which the excepted session is moved; undefined when there is no such account.
 */
export async function endPerson(
  transaction: Database,
  ending: PersonEnding,
): Promise<{ accessEpoch: number | undefined; ended: Ended }> {
  const { sub, exceptSessionUid } = ending
  const [raised] = await raiseAccessEpoch(transaction, [sub])
  const ended = await endNow(transaction, [{ what: 'person', ...ending }])
  if (raised && exceptSessionUid !== undefined) await carryOver(transaction, [sub, raised.accessEpoch])
  return { accessEpoch: raised?.accessEpoch, ended }
}

/** Ends things in one statement, which may be part of a transaction. Clients that asked for it are told (outbox). */
export async function endNow(database: Database, endings: readonly Ending[]): Promise<Ended> {
  const rows = endings.map(toRow)
  const events = endings.flatMap(({ event }) => (event ? [{ event }] : []))
  const parameters = [
    ...columnsOf(
      rows,
      ({ what }) => what,
      ({ grantId }) => grantId ?? null,
      ({ kind }) => (kind === undefined ? null : TOKEN_KINDS[kind]),
      ({ idHash }) => idHash ?? null,
      ({ uid }) => uid ?? null,
      ({ id }) => id ?? null,
      ({ clientId }) => clientId ?? null,
      ({ cause }) => cause?.reason ?? null,
      ({ cause }) => cause?.by ?? null,
      ({ cause }) => (cause?.origin ?? NO_ORIGIN).requestId ?? null,
      ({ cause }) => (cause?.origin ?? NO_ORIGIN).address ?? null,
      ({ cause }) => (cause?.origin ?? NO_ORIGIN).userAgent ?? null,
    ),
    ...eventParameters(events),
  ]
  const ended = { sessions: 0, browsers: 0, grants: 0 }
  for (let tries = 1; tries <= TRIES; tries++) {
    const [more] = await end(database, parameters)
    ended.sessions += more?.sessions ?? 0
    ended.browsers += more?.browsers ?? 0
    ended.grants += more?.grants ?? 0
    // While this statement waited for a row lock, a session may have got a new identifier, or a token a successor, that
    // it did not see.
    const mayGoOn = endings.some(({ what }) => what === 'session' || what === 'browser' || what === 'family')
    if (!mayGoOn || (await findAlive(database, parameters.slice(0, 6))).length === 0) break
  }
  return ended
}

const TRIES = 3

type EndingRow = {
  what: Ending['what']
  grantId?: string
  kind?: TokenKind
  idHash?: Uint8Array
  uid?: string | undefined
  id?: string
  clientId?: string
  cause?: Cause
}

function toRow(ending: Ending): EndingRow {
  switch (ending.what) {
    case 'person':
      return { ...ending, id: ending.sub, uid: ending.exceptSessionUid }
    case 'consent':
      return { ...ending, id: ending.sub }
    case 'family':
      return { ...ending, ...(ending.family === undefined ? {} : { id: ending.family }) }
    default:
      return ending
  }
}

/** A client whose tokens belong to a device: they do not end with the browser session that approved it. */
const IS_DEVICE = `client.metadata -> 'grant_types' ? 'urn:ietf:params:oauth:grant-type:device_code'`

/**
 * A token of the revoked family. Access and refresh tokens of the previous version have no family and count as part of
 * each. A code belongs to the family that it was spent for.
 */
const IS_OF_FAMILY = `(ending.id is null or token.family = ending.id or token.consumed_by = ending.id
          or (token.family is null and token.kind in (${TOKEN_KINDS.AccessToken}, ${TOKEN_KINDS.RefreshToken})))`

const raiseAccessEpoch = prepareStatement<{ accessEpoch: number }>(
  'access_epoch_raise',
  `update account set access_epoch = access_epoch + 1, signed_out_at = now() where sub = $1::uuid
    returning access_epoch as "accessEpoch"`,
)

/** Moves the excepted session to the new epoch: after the revocation it is all that the person has. */
const carryOver = prepareStatement(
  'access_epoch_carry_over',
  `with session as (
      update oidc_session set access_epoch = $2 where account_sub = $1::uuid and ended_at is null
    ), browser as (
      update remembered_browser set access_epoch = $2 where account_sub = $1::uuid
    )
    update oidc_grant set access_epoch = $2 where account_sub = $1::uuid`,
)

const findAlive = prepareStatement(
  'end_missed',
  `select from unnest($1::text[], $2::text[], $3::smallint[], $4::bytea[], $5::text[], $6::uuid[])
      as ending (what, grant_id, kind, id_hash, uid, id)
    where (what = 'session' and exists (select from oidc_session where uid = ending.uid and ended_at is null))
      or (what = 'browser' and exists (select from oidc_session where remembered_id = ending.id and ended_at is null))
      or (what = 'family' and exists (
        select from oidc_token as token where token.grant_id = ending.grant_id and ${IS_OF_FAMILY}
      ))
    limit 1`,
)

const end = prepareStatement<Ended>(
  'end',
  `with ending as (
      select * from unnest($1::text[], $2::text[], $3::smallint[], $4::bytea[], $5::text[], $6::uuid[], $7::text[],
        $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])
        as ending (what, grant_id, kind, id_hash, uid, id, client_id, reason, ended_by, request_id, address, user_agent)
    ), target (session_hash, what, grant_id, kind, id_hash, uid, id, client_id, reason, ended_by, request_id, address, user_agent) as (
      select session.id_hash, ending.* from ending join oidc_session as session on session.uid = ending.uid
      where ending.what = 'session'
      union all
      select session.id_hash, ending.* from ending join oidc_session as session on session.remembered_id = ending.id
      where ending.what = 'browser'
      union all
      select session.id_hash, ending.* from ending join oidc_session as session on session.account_sub = ending.id
      where ending.what = 'person' and session.uid is distinct from ending.uid
    ), session (uid, account_sub, remembered_id, payload, reason, ended_by, request_id, address, user_agent) as (
      update oidc_session set ended_at = now()
      from target
      where oidc_session.id_hash = target.session_hash and oidc_session.ended_at is null
      returning oidc_session.uid, oidc_session.account_sub, oidc_session.remembered_id, oidc_session.payload, target.reason,
        target.ended_by, target.request_id, target.address, target.user_agent
    ), part (account_sub, client_id, grant_id, sid, is_kept, is_device) as (
      select session.account_sub, client.client_id, authorized.value ->> 'grantId', authorized.value ->> 'sid',
        authorized.value ->> 'persistsLogout' = 'true'
          and (
            ${IS_DEVICE} or client.metadata ->> 'keep_offline_access' = 'true' or session.reason = 'refresh_token_reused'
          ), ${IS_DEVICE}
      from session cross join jsonb_each(coalesce(session.payload -> 'authorizations', '{}')) as authorized
        join oidc_client as client on client.client_id = authorized.key
      union all
      select session.account_sub, ending.client_id, null, session.payload -> 'authorizations' -> ending.client_id ->> 'sid',
        false, false
      from ending join oidc_session as session on session.account_sub = ending.id
      where ending.what = 'consent' and session.ended_at is null and session.payload -> 'authorizations' ? ending.client_id
      union all
      select session.account_sub, ending.client_id, session.payload -> 'authorizations' -> ending.client_id ->> 'grantId',
        session.payload -> 'authorizations' -> ending.client_id ->> 'sid', false, false
      from ending join oidc_session as session on session.uid = ending.uid
      where ending.what = 'authorization' and session.ended_at is null
    ), parted (account_sub, client_id, sid) as (
      -- A device that stays signed in is not told that the browser which approved it was signed out.
      select account_sub, client_id, sid from part where is_kept is not true or not is_device
    ), kept (grant_id) as (
      select authorized.value ->> 'grantId'
      from ending join oidc_session as session on session.uid = ending.uid
        cross join jsonb_each(coalesce(session.payload -> 'authorizations', '{}')) as authorized
        join oidc_client as client on client.client_id = authorized.key
      where ending.what = 'person' and session.ended_at is null and not ${IS_DEVICE}
    ), family as materialized (
      select token.id_hash from ending join oidc_token as token on token.grant_id = ending.grant_id
      where ending.what = 'family' and ${IS_OF_FAMILY}
      order by token.id_hash for update of token
    ), due (grant_id) as (
      select grant_id from ending where what = 'grant'
      union select grant_id from ending where what = 'family' and not exists (
        select from oidc_token as token
        where token.grant_id = ending.grant_id and token.consumed_at is null and token.expires_at > now()
          and token.id_hash not in (select id_hash from family)
      )
      union select grant_id from part where is_kept is not true
      union select oidc_grant.id from ending join oidc_grant on oidc_grant.account_sub = ending.id
        where ending.what = 'person' and oidc_grant.id not in (select grant_id from kept where grant_id is not null)
      union select oidc_grant.id from ending join oidc_grant on oidc_grant.account_sub = ending.id
        where ending.what = 'consent' and oidc_grant.client_id = ending.client_id
    ), gone as (
      delete from oidc_grant
      where id in (select id from oidc_grant where id in (select grant_id from due) order by id for update)
      returning id, account_sub, client_id
    ), tokens as (
      delete from oidc_token using ending
      where ending.what = 'tokens' and oidc_token.grant_id = ending.grant_id and oidc_token.kind = ending.kind
        and oidc_token.grant_id not in (select grant_id from due where grant_id is not null)
    ), relatives as (
      delete from oidc_token
      where id_hash in (select id_hash from family)
        and grant_id not in (select grant_id from due where grant_id is not null)
    ), single as (
      delete from oidc_token using ending
      where ending.what = 'token' and oidc_token.id_hash = ending.id_hash
        and (oidc_token.grant_id is null or oidc_token.grant_id not in (select grant_id from due where grant_id is not null))
    ), browser as (
      delete from remembered_browser where id in (
        select id from ending where what = 'browser'
        union all
        select remembered_id from session
        union all
        select remembered.id from ending join remembered_browser as remembered on remembered.account_sub = ending.id
        where ending.what = 'person' and not exists (
          select from oidc_session where uid = ending.uid and remembered_id = remembered.id and ended_at is null
        )
      ) returning 1
    ), withdrawn as (
      delete from consent using ending
      where ending.what = 'consent' and consent.account_sub = ending.id and consent.client_id = ending.client_id
    ), told as (
      insert into backchannel_logout (client_id, account_sub, sid)
      select told.client_id, told.account_sub, told.sid
      from (
        select client_id, account_sub, sid from parted
        union
        select gone.client_id, gone.account_sub, null from gone join ending on ending.id = gone.account_sub
        where ending.what in ('person', 'consent')
          and not exists (select from parted where parted.client_id = gone.client_id and parted.account_sub = gone.account_sub)
      ) as told join oidc_client as client on client.client_id = told.client_id
      where client.metadata ? 'backchannel_logout_uri' and client.metadata ->> 'disabled' is distinct from 'true'
    ), recorded as (
      insert into event (type, account_sub, session_uid, request_id, address, user_agent, detail)
      select distinct on (uid) 'session.ended', account_sub, uid, request_id, address, user_agent,
        jsonb_build_object('reason', reason, 'by', ended_by)
      from session where account_sub is not null
    ), recorded_too as (${insertEvents(13)}
    )
    select (select count(distinct uid)::int from session where account_sub is not null) as sessions,
      (select count(*)::int from browser) as browsers, (select count(*)::int from gone) as grants`,
)
