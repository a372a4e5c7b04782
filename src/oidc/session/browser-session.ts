/**
 * Room oidc/session/: the browser's session with the server. This file signs browsers in; session-lifetime.ts has every
 * limit of time, session-limits.ts the limits of number, step-up.ts the authentication levels, cookies.ts the cookies.
 */
import type { Context } from 'koa'
import type { Provider } from 'oidc-provider'
import type { Account } from '../../store/account/account.ts'
import type { SessionStore } from '../../store/session/session.ts'
import type { Clock } from '../../time.ts'
import { toEngineSeconds } from '../engine/engine-time.ts'
import { currentRequest } from '../engine/request-context.ts'
import { type Authentication, describeAuthentication } from './authentication.ts'
import { cookieNames, createCookie } from './cookies.ts'
import { sessionSeconds } from './session-lifetime.ts'
import type { SessionLimits } from './session-limits.ts'

/** The engine's session of a browser. */
export type BrowserSession = InstanceType<Provider['Session']>

type Needs = {
  engine: () => Provider
  issuer: string
  sessions: SessionStore
  limits: SessionLimits
  now: Clock
}

/** The engine's browser sessions, for pages outside of an authorization request. */
export function createBrowserSessions({ engine, issuer, sessions, limits, now }: Needs) {
  const cookie = createCookie(cookieNames(issuer).session, { isSigned: true })
  return {
    /** Whether the person has reached the session limit and no session is ended for this one. */
    async isFull(ctx: Context, { sub }: Account): Promise<boolean> {
      if (limits.maxSessions === 0 || limits.whenFull !== 'refuse') return false
      const { uid } = await engine().Session.get(ctx as never)
      return (await sessions.countOthers({ accountSub: sub, uid })) >= limits.maxSessions
    },

    /** The session that this browser is signed in with. */
    async find(ctx: Context): Promise<BrowserSession | undefined> {
      const session = await engine().Session.get(ctx as never)
      return session.accountId === undefined ? undefined : session
    },

    /** Finds the session and restarts its idle time. */
    async use(ctx: Context): Promise<BrowserSession | undefined> {
      const session = await this.find(ctx)
      if (session) await store(ctx, session)
      return session
    },

    /** Whether the browser has a newer session than the one in this request. */
    isOutdated: (): boolean => currentRequest().browser.isOutdated,

    forget(ctx: Context): void {
      cookie.clear(ctx)
    },

    /**
     * Signs a browser in. A session of the same person continues under a new identifier (ASVS 7.2.4), an anonymous
     * session ends, and a session of another person is replaced. Stores nothing when the access epoch was raised since
     * the account was read with the proof.
     */
    async start(
      ctx: Context,
      { sub, accessEpoch }: Account,
      { rememberedId, ...authentication }: Authentication & { rememberedId?: string | undefined },
    ): Promise<void> {
      const request = currentRequest()
      if (rememberedId !== undefined) request.browser.recordRememberedId(rememberedId)
      request.provenEpochs.set(sub, accessEpoch)
      const { Session } = engine()
      const current = await Session.get(ctx as never)
      const isTheirs = current.accountId === sub
      if (request.browser.findSession(current.jti) && current.accountId === undefined)
        request.browser.recordReplacement(current.jti)
      const session = isTheirs ? current : Object.assign(new Session(), { iat: toEngineSeconds(now()) })
      const { ts, amr, acr } = describeAuthentication(authentication)
      session.loginAccount({ accountId: sub, loginTs: ts, amr, acr })
      if (isTheirs) session.resetIdentifier()
      await store(ctx, session)
    },
  }

  /** Stores a session and its cookie, as the engine does at its own pages. */
  async function store(ctx: Context, session: BrowserSession): Promise<void> {
    const seconds = sessionSeconds(session, limits)
    await session.save(seconds)
    cookie.set(ctx, session.jti, { seconds })
  }
}

export type BrowserSessions = ReturnType<typeof createBrowserSessions>
