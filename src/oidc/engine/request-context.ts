import { AsyncLocalStorage } from 'node:async_hooks'
import type { NewEvent, Origin } from '../../audit/event.ts'
import type { Payload } from '../../db/schema.ts'
import type { Account } from '../../store/account/account.ts'
import type { FoundSession, SessionState } from '../../store/session/session.ts'
import type { FoundToken, Token } from '../../store/token/token.ts'
import type { TokenKind } from '../../store/token-kind.ts'

/**
 * What one request to the engine knows and is about to write. The engine asks for a token, its grant, its session
 * and its person one after the other; the first question reads them all, the others are answered from here.
 */
export type UnitOfWork = Readonly<{
  /** Where the request came from. */
  origin: Origin
  /** How far the engine's clock is ahead of the database's, in whole seconds: see engine-time.ts. */
  engineAheadSeconds: number
  arrivedAt: Date
  /** Whether the request's method is safe (RFC 9110 §9.2.1). */
  isSafe: boolean
  browser: Browser
  /**
   * The access epoch of each person's proof of identity, by `sub`: read with a session, or of a sign-in in this
   * request.
   */
  accessEpochs: Map<string, number>
  read: Reading
  /** What is recorded of the browser's session, by type and session: tried again, it is the same event. */
  sessionEvents: Map<string, NewEvent>
  /** Token requests only: what they write is gathered here, and committed when the engine has made its answer. */
  tokenRequest: TokenRequest | undefined
}>

/** The state of the request's browser. */
type Browser = {
  /** The identifier of the remembered browser, if it is or becomes one. */
  rememberedId: string | undefined
  /** The request's session identifier was replaced or ended since: the browser has a newer one. */
  isOutdated: boolean
  /** The identifier that this request replaces. */
  replaces: string | undefined
  /** The identifiers that the answer may set as the session cookie. */
  readonly sessionCookies: Set<string>
}

export type TokenRequest = {
  /** What the client presented, if the engine found it. */
  source: (FoundToken & { kindName: TokenKind; idHash: Uint8Array }) | undefined
  /** The engine checked everything and wants the source spent. */
  isSpending: boolean
  /** It was spent moments ago: this is a retry or a duplicate, and is answered as such. */
  isRepeat: boolean
  /** Whether the client disconnected, so that it cannot receive the answer. */
  hasClientLeft: () => boolean
  /**
   * The sealed answer to a late duplicate: the token was spent before the window, and the database or an instance was
   * away since.
   */
  lateAnswer: Uint8Array | undefined
  readonly tokens: Token[]
  /** Done when all of it is stored. */
  readonly whenCommitted: (() => void)[]
}

type Reading = Readonly<{
  tokens: Map<string, Promise<FoundToken | undefined>>
  grants: Map<string, Payload>
  /** Sessions that tokens end with, by `uid`. */
  sessions: Map<string, { state: SessionState | undefined; clientId: string }>
  /** The browser's session as it is stored, by its cookie. */
  storedSessions: Map<string, FoundSession>
  accounts: Map<string, Account>
}>

const storage = new AsyncLocalStorage<UnitOfWork>()

/** Runs a request with a unit of work of its own. */
export function withUnitOfWork<Result>(
  {
    isTokenRequest,
    hasClientLeft,
    rememberedId,
    ...from
  }: Pick<TokenRequest, 'hasClientLeft'> & {
    isTokenRequest: boolean
    rememberedId: string | undefined
  } & Pick<UnitOfWork, 'origin' | 'arrivedAt' | 'isSafe' | 'engineAheadSeconds'>,
  run: (unit: UnitOfWork) => Promise<Result>,
): Promise<Result> {
  const unit: UnitOfWork = {
    ...from,
    browser: { rememberedId, isOutdated: false, replaces: undefined, sessionCookies: new Set() },
    accessEpochs: new Map(),
    read: {
      tokens: new Map(),
      grants: new Map(),
      sessions: new Map(),
      storedSessions: new Map(),
      accounts: new Map(),
    },
    sessionEvents: new Map(),
    tokenRequest: isTokenRequest
      ? {
          source: undefined,
          isSpending: false,
          isRepeat: false,
          hasClientLeft,
          lateAnswer: undefined,
          tokens: [],
          whenCommitted: [],
        }
      : undefined,
  }
  return storage.run(unit, () => run(unit))
}

/** The unit of work of this request; none outside requests. */
export function currentUnit(): UnitOfWork | undefined {
  return storage.getStore()
}

/** The browser's session as it was stored before this request; `uid` stays when its identifier is replaced. */
export function storedSession(uid: string): FoundSession | undefined {
  return [...(currentUnit()?.read.storedSessions.values() ?? [])].find((session) => session.uid === uid)
}

/** Keeps what a token brought along. */
export function rememberToken({ read }: UnitOfWork, { grant, session, account, payload }: FoundToken): void {
  if (grant) read.grants.set(grant.id, grant.payload)
  if (session) read.sessions.set(session.uid, { state: session.state, clientId: String(payload.clientId) })
  if (account) read.accounts.set(account.sub, account)
}

/** Keeps what a session brought along. */
export function rememberSession(
  { read, accessEpochs }: UnitOfWork,
  { grants, account, accessEpoch }: FoundSession,
): void {
  for (const { id, payload } of grants) read.grants.set(id, payload)
  if (!account) return
  read.accounts.set(account.sub, account)
  accessEpochs.set(account.sub, accessEpoch)
}
