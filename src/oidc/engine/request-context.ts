/**
 * Room oidc/engine/: the parts that all other rooms of the engine use. The contexts of a request (this file) and of a
 * token request, the engine's clock, its endpoints, errors and log lines.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Context, Middleware } from 'koa'
import type { Origin } from '../../audit/event.ts'
import type { Payload } from '../../db/schema.ts'
import type { Account } from '../../store/account/account.ts'
import type { FoundSession } from '../../store/session/found-session.ts'
import type { SessionState } from '../../store/session/session.ts'
import type { FoundToken } from '../../store/token/token.ts'
import type { Clock } from '../../time.ts'
import { BrowserContext } from './browser-context.ts'
import { isTokenRequest } from './endpoints.ts'
import { createTokenRequest, type TokenRequest } from './token-request.ts'

const USER_AGENT_CHARACTERS = 200

type NewRequest = Readonly<{
  origin: Origin
  arrivedAt: Date
  /** Whether the request's method is safe (RFC 9110 §9.2.1). */
  isSafe: boolean
  /** How far the engine's clock is ahead of the database's, in whole seconds: see engine-time.ts. */
  engineAheadSeconds: number
  /** Only at the token endpoint. */
  tokenRequest: TokenRequest | undefined
  /** Reads the remembered browser's identifier from its cookie. Sign-in alone needs it, so it is not parsed before. */
  rememberedId: () => string | undefined
}>

/** The session that a token ends with; `state` is undefined when the session has ended or expired. */
type TokenSession = Readonly<{ state: SessionState | undefined; clientId: string }>

export type RequestContext = ReturnType<typeof createRequestContext>

/**
 * The state of one request to the engine. The engine asks its adapter for a token, its grant, its session and its
 * account one after the other: one statement reads all of them, and the later questions are answered from here.
 */
function createRequestContext({ rememberedId, ...request }: NewRequest) {
  const tokens = new Map<string, Promise<FoundToken | undefined>>()
  let browser: BrowserContext | undefined
  return {
    ...request,
    /** By identifier, as read with a token or a session. */
    grants: new Map<string, Payload>(),
    /** By `sub`. */
    accounts: new Map<string, Account>(),
    /** The sessions that tokens end with, by `uid`. */
    tokenSessions: new Map<string, TokenSession>(),
    /** The access epochs of proofs of identity, by `sub`: of a session, or of a sign-in in this request. */
    provenEpochs: new Map<string, number>(),

    get browser(): BrowserContext {
      browser ??= new BrowserContext(rememberedId)
      return browser
    },

    /** Reads a token once: introspection asks for one token as each kind that it may be. */
    readToken(id: string, read: () => Promise<FoundToken | undefined>): Promise<FoundToken | undefined> {
      const reading = tokens.get(id) ?? read()
      tokens.set(id, reading)
      return reading
    },

    /** The token, if this request has read it. */
    async findToken(id: string): Promise<FoundToken | undefined> {
      return await tokens.get(id)
    },

    forgetToken(id: string): void {
      tokens.delete(id)
    },

    /** Keeps the grant, the session and the account that were read with a token. */
    recordToken({ grant, session, account, payload }: FoundToken): void {
      if (grant) this.grants.set(grant.id, grant.payload)
      if (session)
        this.tokenSessions.set(session.uid, { state: session.state, clientId: String(payload.clientId) })
      if (account) this.accounts.set(account.sub, account)
    },

    /** Keeps a browser's session, and the grants and the account that were read with it. */
    recordSession(id: string, found: FoundSession): void {
      // The first read has the epoch before this request, which may raise it.
      const { accessEpoch } = this.browser.findSession(id) ?? found
      this.browser.recordSession(id, { ...found, accessEpoch })
      for (const { id, payload } of found.grants) this.grants.set(id, payload)
      if (!found.account) return
      this.accounts.set(found.account.sub, found.account)
      this.provenEpochs.set(found.account.sub, found.accessEpoch)
    },
  }
}

const storage = new AsyncLocalStorage<RequestContext>()

type Needs = { rememberedIdOf: (ctx: Context) => string | undefined; now: Clock }

export function createRequestContexts({ rememberedIdOf, now }: Needs): Middleware {
  return (ctx, next) => {
    const context = createRequestContext({
      origin: originOf(ctx),
      arrivedAt: ctx.state.arrivedAt ?? now(),
      isSafe: ctx.method === 'GET' || ctx.method === 'HEAD',
      engineAheadSeconds: measureEngineAhead(now),
      tokenRequest: isTokenRequest(ctx) ? createTokenRequest(() => ctx.res.closed) : undefined,
      rememberedId: () => rememberedIdOf(ctx),
    })
    return storage.run(context, next)
  }
}

/** The engine reads `Date.now()` and accepts no other clock. It counts whole seconds; the offset is mostly 0. */
function measureEngineAhead(now: Clock): number {
  return Math.round((Date.now() - now().getTime()) / 1000)
}

export function currentRequest(): RequestContext {
  const context = storage.getStore()
  if (!context) throw new TypeError('there is no request to the engine')
  return context
}

/** The offset as measured when this request began, so that all conversions of one request agree; 0 outside requests. */
export function engineAheadSeconds(): number {
  return storage.getStore()?.engineAheadSeconds ?? 0
}

/** Where a request came from, for the audit record. */
export function originOf(ctx: Pick<Context, 'state' | 'ip' | 'get'>): Origin {
  const { requestId } = ctx.state
  return {
    requestId: typeof requestId === 'string' ? requestId : undefined,
    address: ctx.ip,
    userAgent: ctx.get('user-agent').slice(0, USER_AGENT_CHARACTERS),
  }
}
