import type { NewEvent, Origin } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import { createBatcher } from '../../db/batching.ts'
import type { Database } from '../../db/connections.ts'
import { TOKEN_KINDS, type TokenKind } from '../../db/token-kind.ts'
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
type EndedSession = Readonly<{ uid: string; cause: RevocationCause }>

/**
 * The kinds of revocation that a request can cause:
 *
 * - `grant`: a grant with every token under it; `tokens`: the tokens of one kind under a grant that stays; `token`.
 * - `family`: a token family after reuse (RFC 9700 §4.14.2), which are the tokens that came from one code, with the
 *   session of the reused refresh token, and with the grant if no usable token is left under it. Without a family,
 *   which the previous version did not record, the whole grant.
 * - `session`: a browser session with its tokens and the remembered browser that it is in. Tokens of devices stay, and
 *   those with `offline_access` of clients with `keep_offline_access`.
 * - `browser`: a remembered browser with its sessions.
 * - `consent`: a person's consent for a client, with its grants in every browser. The sessions go on.
 */
export type Revocation = Recorded &
  Readonly<
    | { kind: 'grant'; grantId: string }
    | { kind: 'tokens'; grantId: string; tokenKind: TokenKind }
    | { kind: 'token'; idHash: Uint8Array }
    | { kind: 'family'; grantId: string; family: string | undefined; session: EndedSession | undefined }
    | ({ kind: 'session' } & EndedSession)
    | { kind: 'browser'; id: string; cause: RevocationCause }
    | { kind: 'consent'; accountSub: string; clientId: string }
  >

type Of<Kind extends Revocation['kind']> = Extract<Revocation, { kind: Kind }>

/**
 * All sessions, grants and remembered browsers of an account, devices included, except the session that requests it, if
 * one is named.
 */
type AccountRevocation = Recorded &
  Readonly<{ accountSub: string; exceptSessionUid?: string | undefined; cause: RevocationCause }>

export type RevokedCount = Readonly<{ sessions: number; browsers: number; grants: number }>

const NOTHING: RevokedCount = { sessions: 0, browsers: 0, grants: 0 }

/** How often a statement is executed for rows that it missed. */
const TRIES = 3

export type Revocations = ReturnType<typeof createRevocations>

export function createRevocations(database: Database, events: EventStore) {
  const revokeSessions = createRevoker(
    ({ uid, cause }: Of<'session'>) => ({ uid, ...toColumns(cause) }),
    statements.revokeSessions,
    statements.findLiveSession,
  )
  const revokeBrowsers = createRevoker(
    ({ id, cause }: Of<'browser'>) => ({ id, ...toColumns(cause) }),
    statements.revokeBrowsers,
    statements.findLiveBrowserSession,
  )
  const revokeFamilies = createRevoker(
    ({ grantId, family, session }: Of<'family'>) => ({
      grant_id: grantId,
      family,
      uid: session?.uid,
      ...(session && toColumns(session.cause)),
    }),
    statements.revokeFamilies,
    statements.findLiveFamily,
  )
  const revokeConsents = createRevoker(
    ({ accountSub, clientId }: Of<'consent'>) => ({ account_sub: accountSub, client_id: clientId }),
    statements.revokeConsents,
  )
  const batches = {
    tokens: createBatch(revokeTokens),
    families: createBatch(revokeFamilies),
    sessions: createBatch(revokeSessions),
    browsers: createBatch(revokeBrowsers),
    consents: createBatch(revokeConsents),
  }

  return {
    /** Revokes access. Revoking it twice is the same as once. */
    revoke(revocation: Revocation): Promise<void> {
      switch (revocation.kind) {
        case 'grant':
        case 'tokens':
        case 'token':
          return batches.tokens(revocation)
        case 'family':
          return batches.families(revocation)
        case 'session':
          return batches.sessions(revocation)
        case 'browser':
          return batches.browsers(revocation)
        case 'consent':
          return batches.consents(revocation)
      }
    },

    /** Revokes every remembered browser with its sessions. */
    async revokeAllBrowsers(cause: RevocationCause): Promise<void> {
      const ids = await database.selectFrom('remembered_browser').select('id').execute()
      await revokeBrowsers(
        database,
        ids.map(({ id }) => ({ kind: 'browser', id, cause })),
      )
    },

    /** Revokes sessions in a transaction. @param uids of the sessions. */
    revokeSessions: (transaction: Database, uids: readonly string[], cause: RevocationCause): Promise<void> =>
      revokeSessions(
        transaction,
        uids.map((uid) => ({ kind: 'session', uid, cause })),
      ),

    /** Revokes the authorizations of sessions at one client, in a transaction. */
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
      const [revoked = NOTHING] = await statements.revokeAccount(transaction, [
        JSON.stringify([item]),
        serialize([{ event }]),
      ])
      if (raised && exceptSessionUid !== undefined)
        await statements.carryOver(transaction, [accountSub, raised.accessEpoch])
      return { accessEpoch: raised?.accessEpoch, revoked }
    },
  }

  /** Concurrent requests share the statement of one kind. */
  function createBatch<Item>(revoke: (on: Database, items: readonly Item[]) => Promise<void>) {
    return createBatcher<Item, void>(async (items) => {
      await revoke(database, items)
      return []
    })
  }

  /**
   * Creates the revocation of one kind.
   *
   * @param findLive finds rows that the statement missed, because they were stored while it waited for a row lock: a session
   *   under a new identifier, or the successor of a token. Then the statement is executed again.
   */
  function createRevoker<Item extends Recorded>(
    toRow: (item: Item) => object,
    revoke: Statement,
    findLive?: Statement,
  ) {
    return async (on: Database, items: readonly Item[]): Promise<void> => {
      const rows = JSON.stringify(items.map(toRow))
      const recorded = serialize(items)
      for (let tries = 1; tries <= TRIES; tries++) {
        await revoke(on, [rows, recorded])
        if (!findLive || (await findLive(on, [rows])).length === 0) return
      }
    }
  }

  async function revokeTokens(
    on: Database,
    items: readonly Of<'grant' | 'tokens' | 'token'>[],
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

  function serialize(items: readonly Recorded[]): string {
    return events.serialize(items.flatMap(({ event }) => (event ? [{ event }] : [])))
  }
}

type Statement = (database: Database, parameters: readonly unknown[]) => Promise<readonly unknown[]>

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
