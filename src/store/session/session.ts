import { insertNewEvents, type NewEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import type { Database } from '../../db/connections.ts'
import { prepareList, prepareStatement } from '../../db/prepared-statement.ts'
import type { Payload } from '../../db/schema.ts'
import type { Revocations } from '../revocation/revocation.ts'
import { createSessionLookup } from './found-session.ts'
import { sessionExpiry } from './session-expiry.ts'
import { countOthers, enforceLimit, type NewSession, type SessionLimit } from './session-limit.ts'
import { type Session, upsertSession } from './session-upsert.ts'

/*
 * The room store/session: browser sessions (session-upsert.ts stores them, found-session.ts reads them,
 * session-limit.ts bounds their number), remembered browsers, consents, and the list of connected devices and apps.
 */

/** The clients that a request added to a session. */
type AddedAuthorizations = Readonly<{
  uid: string
  accountSub: string
  accessEpoch: number | undefined
  authorizations: Payload
}>

/** A session's stored state, the time of its last use (to the minute), and the time of this read. */
export type SessionState = Readonly<{ payload: Payload; accessEpoch: number; seenAt: Date; readAt: Date }>

/** A browser that a person is signed in with, as the account page shows it. */
export type SignedInBrowser = Readonly<{
  uid: string
  rememberedId: string | undefined
  address: string | undefined
  userAgent: string | undefined
  startedAt: Date
  seenAt: Date
  expiresAt: Date
}>

export type SessionStore = ReturnType<typeof createSessionStore>

type Needs = Readonly<{ events: EventStore; revocations: Revocations }>

export function createSessionStore(database: Database, { events, revocations }: Needs) {
  return {
    /**
     * Stores a session or its new state with its events. Nothing is stored or recorded when the session has ended, also
     * under a new identifier; when the person's proof is of an older access epoch; or when the identifier to replace
     * already has a successor.
     *
     * @returns whether it was stored.
     */
    upsert: (session: Session, recorded: readonly NewEvent[] = []): Promise<boolean> =>
      upsertSession(database, events, { session, recorded }),

    /**
     * Stores a session that is new to its person or to a client, where their number is limited.
     *
     * @returns whether it was stored.
     * @throws {TooManySessionsError} when the limit is reached and no session ends for the new one.
     */
    async upsertWithin(
      session: Session & { accountSub: string },
      recorded: readonly NewEvent[],
      limit: SessionLimit,
    ): Promise<boolean> {
      return await database.transaction().execute(async (transaction) => {
        await enforceLimit(transaction, revocations, { session, limit })
        return await upsertSession(transaction, events, { session, recorded })
      })
    },

    /**
     * Adds the clients of a request whose session identifier was replaced while it ran, so that their codes can be
     * redeemed. Existing entries stay unchanged.
     */
    async addAuthorizations(added: AddedAuthorizations): Promise<void> {
      const { uid, accountSub, accessEpoch, authorizations } = added
      await addAuthorizations(database, [
        uid,
        accountSub,
        accessEpoch ?? null,
        JSON.stringify(authorizations),
      ])
    },

    /** Counts the other browsers that a person is signed in with, in total or to one client. */
    countOthers: (session: NewSession, clientId?: string): Promise<number> =>
      countOthers(database, session, clientId),

    /** Finds a session with its account and grants, also an ended or expired one while its row exists. */
    find: createSessionLookup(database),

    /** Finds a live session. */
    async findByUid(uid: string): Promise<SessionState | undefined> {
      const [row] = await findByUid(database, [uid])
      return row
    },

    /** Ends an identifier that the same request replaces by no other. */
    async retire(idHash: Uint8Array): Promise<void> {
      await retireSession(database, [idHash])
    },

    /** Records the use of an ended or expired session, at most once a minute per session. */
    async recordMisuse(idHash: Uint8Array, event: NewEvent): Promise<void> {
      await recordMisuse(database, [idHash, events.serialize([{ event }])])
    },

    /** Lists the browsers that a person is signed in with, last used first. */
    listOf: (accountSub: string): Promise<SignedInBrowser[]> => listSessions(database, [accountSub]),

    ...sessionExpiry(database),
  }
}

const findByUid = prepareStatement<SessionState>(
  'session_find_by_uid',
  `select session.payload, session.access_epoch as "accessEpoch", session.seen_at as "seenAt", now() as "readAt"
    from oidc_session as session left join account on account.sub = session.account_sub
    where session.uid = $1 and session.ended_at is null and session.expires_at > now()
      and session.access_epoch = coalesce(account.access_epoch, 0)
    order by session.expires_at desc limit 1`,
)

const addAuthorizations = prepareStatement(
  'session_add_authorizations',
  `update oidc_session
    set payload = payload || jsonb_build_object('authorizations', $4::jsonb || coalesce(payload -> 'authorizations', '{}'))
    where uid = $1 and account_sub = $2::uuid and access_epoch = $3::int and ended_at is null`,
)

const retireSession = prepareStatement(
  'session_retire',
  'update oidc_session set ended_at = now() where id_hash = $1 and ended_at is null',
)

const recordMisuse = prepareStatement(
  'session_misuse',
  `with misused as (
      update oidc_session set misused_at = now()
      where id_hash = $1 and (misused_at is null or misused_at < now() - interval '1 minute') returning 1
    ), recorded as (${insertNewEvents('$2', 'exists (select from misused)')})
    select`,
)

const listSessions = prepareList<SignedInBrowser>(
  'session_list',
  `select * from (
      select distinct on (uid) uid, remembered_id, address, user_agent,
        to_timestamp((payload ->> 'iat')::float8) as started_at, seen_at, expires_at
      from oidc_session
      where account_sub = $1::uuid and ended_at is null and expires_at > now()
      order by uid, seen_at desc
    ) as browser order by seen_at desc`,
)
