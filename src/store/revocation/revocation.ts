import type { NewEvent, Origin } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import { createBatcher } from '../../db/batching.ts'
import type { Database } from '../../db/connections.ts'
import { TOKEN_KINDS, type TokenKind } from '../token-kind.ts'
import * as statements from './statements.ts'

/*
 * The room store/revocation: ends access before its time. statements.ts has one statement per kind of revocation, composed
 * of the CTEs in fragments.ts: they delete grants and by them tokens, end sessions, forget remembered browsers, queue
 * back-channel logouts and record audit events.
 */

/** Why access ends, and by whose will. */
export type RevocationCause = Readonly<{
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

type Recorded = Readonly<{ event?: NewEvent | undefined }>

/** A grant with every token under it. */
type GrantRevocation = Recorded & Readonly<{ kind: 'grant'; grantId: string }>
/** The tokens of one kind under a grant that stays. */
type TokensRevocation = Recorded & Readonly<{ kind: 'tokens'; grantId: string; tokenKind: TokenKind }>
type TokenRevocation = Recorded & Readonly<{ kind: 'token'; idHash: Uint8Array }>

/**
 * A token family after reuse (RFC 9700 §4.14.2): the tokens that came from one authorization code or device code, the
 * session of the reused refresh token, and the grant if no usable token is left under it. Without a family, which the
 * previous version did not record, the whole grant.
 */
type FamilyRevocation = Recorded &
  Readonly<{
    kind: 'family'
    grantId: string
    family: string | undefined
    session: Readonly<{ uid: string; cause: RevocationCause }> | undefined
  }>

/**
 * A browser session, by its `uid`, with its tokens and the remembered browser that it is in. Requests in flight cannot
 * restore it. Tokens of devices stay, and those with `offline_access` of clients with `keep_offline_access`.
 */
type SessionRevocation = Recorded & Readonly<{ kind: 'session'; uid: string; cause: RevocationCause }>

/** A remembered browser, and the sessions that it was signed in to. */
type BrowserRevocation = Recorded & Readonly<{ kind: 'browser'; id: string; cause: RevocationCause }>

/** A person's consent for a client, with its grants in every browser. The sessions go on. */
type ConsentRevocation = Recorded & Readonly<{ kind: 'consent'; accountSub: string; clientId: string }>

/** What a request can revoke. */
export type Revocation =
  | GrantRevocation
  | TokensRevocation
  | TokenRevocation
  | FamilyRevocation
  | SessionRevocation
  | BrowserRevocation
  | ConsentRevocation

/**
 * All sessions, grants and remembered browsers of an account, devices included, except the session that requests it, if
 * one is named.
 */
export type AccountRevocation = Recorded &
  Readonly<{ accountSub: string; exceptSessionUid?: string | undefined; cause: RevocationCause }>

/** How much was revoked. */
export type RevokedCount = Readonly<{ sessions: number; browsers: number; grants: number }>

const NOTHING: RevokedCount = { sessions: 0, browsers: 0, grants: 0 }

/** How often a revocation is repeated for rows that were stored while it waited for a lock. */
const TRIES = 3

export type Revocations = ReturnType<typeof createRevocations>

export function createRevocations(database: Database, events: EventStore) {
  /** Executes the statement of one kind for several revocations, which share it with concurrent requests. */
  const batched = <Item>(run: (on: Database, items: readonly Item[]) => Promise<void>) =>
    createBatcher<Item, void>(async (items) => {
      await run(database, items)
      return []
    })
  const byClient = batched(revokeTokens)
  const families = batched(revokeFamilies)
  const sessions = batched(revokeSessions)
  const browsers = batched(revokeBrowsers)
  const consents = batched(revokeConsents)

  return {
    /** Revokes access. Revoking it twice is the same as once. */
    async revoke(revocation: Revocation): Promise<void> {
      switch (revocation.kind) {
        case 'grant':
        case 'tokens':
        case 'token':
          return await byClient(revocation)
        case 'family':
          return await families(revocation)
        case 'session':
          return await sessions(revocation)
        case 'browser':
          return await browsers(revocation)
        case 'consent':
          return await consents(revocation)
      }
    },

    /** Revokes every remembered browser with its sessions. */
    async revokeAllBrowsers(cause: RevocationCause): Promise<void> {
      const ids = await database.selectFrom('remembered_browser').select('id').execute()
      await revokeBrowsers(
        database,
        ids.map(({ id }) => ({ id, cause })),
      )
    },

    /** Revokes sessions in a transaction. @param uids of the sessions. */
    revokeSessions: (transaction: Database, uids: readonly string[], cause: RevocationCause): Promise<void> =>
      revokeSessions(
        transaction,
        uids.map((uid) => ({ uid, cause })),
      ),

    /** Revokes in a transaction what sessions are signed in to at one client. */
    async revokeAuthorizations(
      transaction: Database,
      uids: readonly string[],
      clientId: string,
    ): Promise<void> {
      await statements.revokeAuthorizations(transaction, [
        JSON.stringify(uids.map((uid) => ({ uid, client_id: clientId }))),
      ])
    },

    /**
     * Revokes all sessions, grants and remembered browsers of an account, in a transaction. It first raises the account's
     * access epoch, which locks the account: each statement that stores one of these compares the epoch under a lock of
     * the same row. Such a statement either committed before, and its rows are revoked here, or it finds the new epoch and
     * stores nothing.
     *
     * @returns the new epoch, to which the excepted session is moved; undefined when there is no such account.
     */
    async revokeAccount(
      transaction: Database,
      { accountSub, exceptSessionUid, cause, event }: AccountRevocation,
    ): Promise<{ accessEpoch: number | undefined; revoked: RevokedCount }> {
      const [raised] = await statements.raiseAccessEpoch(transaction, [accountSub])
      const item = { account_sub: accountSub, except_uid: exceptSessionUid, ...toColumns(cause) }
      const [revoked = NOTHING] = await statements.revokeAccount(transaction, parameters([item], [{ event }]))
      if (raised && exceptSessionUid !== undefined)
        await statements.carryOver(transaction, [accountSub, raised.accessEpoch])
      return { accessEpoch: raised?.accessEpoch, revoked }
    },
  }

  async function revokeTokens(
    on: Database,
    items: readonly (GrantRevocation | TokensRevocation | TokenRevocation)[],
  ): Promise<void> {
    const ofKind = items.filter((item) => item.kind === 'tokens')
    await statements.revokeTokens(on, [
      items.flatMap((item) => (item.kind === 'grant' ? [item.grantId] : [])),
      ofKind.map(({ grantId }) => grantId),
      ofKind.map(({ tokenKind }) => TOKEN_KINDS[tokenKind]),
      items.flatMap((item) => (item.kind === 'token' ? [item.idHash] : [])),
      serialize(items),
    ])
  }

  async function revokeFamilies(on: Database, items: readonly FamilyRevocation[]): Promise<void> {
    const rows = items.map(({ grantId, family, session }) => ({
      grant_id: grantId,
      family,
      uid: session?.uid,
      ...(session && toColumns(session.cause)),
    }))
    await repeatWhileFound(on, parameters(rows, items), statements.revokeFamilies, statements.findLiveFamily)
  }

  async function revokeSessions(
    on: Database,
    items: readonly Omit<SessionRevocation, 'kind'>[],
  ): Promise<void> {
    const rows = items.map(({ uid, cause }) => ({ uid, ...toColumns(cause) }))
    await repeatWhileFound(on, parameters(rows, items), statements.revokeSessions, statements.findLiveSession)
  }

  async function revokeBrowsers(
    on: Database,
    items: readonly Omit<BrowserRevocation, 'kind'>[],
  ): Promise<void> {
    const rows = items.map(({ id, cause }) => ({ id, ...toColumns(cause) }))
    const { revokeBrowsers: run, findLiveBrowserSession } = statements
    await repeatWhileFound(on, parameters(rows, items), run, findLiveBrowserSession)
  }

  async function revokeConsents(on: Database, items: readonly ConsentRevocation[]): Promise<void> {
    const rows = items.map(({ accountSub, clientId }) => ({ account_sub: accountSub, client_id: clientId }))
    await statements.revokeConsents(on, parameters(rows, items))
  }

  /** The parameters of a statement: its items, and the events of these revocations. */
  function parameters(rows: readonly object[], items: readonly Recorded[]): [rows: string, events: string] {
    return [JSON.stringify(rows), serialize(items)]
  }

  function serialize(items: readonly Recorded[]): string {
    return events.serialize(items.flatMap(({ event }) => (event ? [{ event }] : [])))
  }
}

type Statement = (database: Database, parameters: readonly unknown[]) => Promise<readonly unknown[]>

/**
 * Executes a revocation until no live row is left. While it waits for a row lock, a session may get a new identifier, or a
 * token a successor, which its snapshot does not contain.
 */
async function repeatWhileFound(
  on: Database,
  [rows, events]: readonly [rows: string, events: string],
  revoke: Statement,
  findLive: Statement,
): Promise<void> {
  for (let tries = 1; tries <= TRIES; tries++) {
    await revoke(on, [rows, events])
    if ((await findLive(on, [rows])).length === 0) return
  }
}

/** The columns of a cause; see `CAUSE_COLUMNS`. */
function toColumns({ reason, by, origin }: RevocationCause) {
  return {
    reason,
    ended_by: by,
    request_id: origin?.requestId,
    address: origin?.address,
    user_agent: origin?.userAgent,
  }
}
