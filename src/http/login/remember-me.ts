import type { Context, Middleware } from 'koa'
import { type RememberCookie, type RememberMe, rememberedIdIn } from '../../accounts/remember-me.ts'
import type { Log } from '../../log.ts'
import { ROUTES } from '../../oidc/engine/endpoints.ts'
import { toEngineSeconds } from '../../oidc/engine/engine-time.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import type { BrowserSessions } from '../../oidc/session/browser-session.ts'
import { cookieNames, createCookie } from '../../oidc/session/cookies.ts'
import type { Account } from '../../store/account/account.ts'

type Needs = { issuer: string; rememberMe: RememberMe; browserSessions: BrowserSessions; log: Log }

export type RememberCookies = ReturnType<typeof createRememberCookies>

/** The remember-me cookie: of its own, so that it can be revoked, and so that it is never taken for a session. */
export function createRememberCookies(issuer: string) {
  const cookie = createCookie(cookieNames(issuer).remember, { isSigned: true })
  const { read } = cookie
  /** The remembered browser that a request says it comes from. */
  const idOf = (ctx: Context): string | undefined => rememberedIdIn(read(ctx))
  const set = (ctx: Context, { value, expiresAt }: RememberCookie): void => {
    cookie.set(ctx, value, { until: new Date(toEngineSeconds(expiresAt) * 1000) })
  }
  const clear = (ctx: Context): void => {
    if (cookie.isSent(ctx)) cookie.clear(ctx)
  }

  /**
   * Does what a person who signs in wants of this browser; it is never remembered for two.
   *
   * @returns the remembered browser that it is from now on.
   */
  async function answer(
    ctx: Context,
    rememberMe: RememberMe,
    { account, wantsRemembering }: { account: Account; wantsRemembering: boolean },
  ): Promise<string | undefined> {
    const before = idOf(ctx)
    if (wantsRemembering && rememberMe.isOffered) {
      const cookie = await rememberMe.remember(account, originOf(ctx), before)
      if (cookie) set(ctx, cookie)
      return rememberedIdIn(cookie?.value)
    }
    if (before === undefined || (await rememberMe.isOf(before, account.sub))) return before
    await rememberMe.forget(before)
    clear(ctx)
    return undefined
  }

  return { read, idOf, set, clear, answer }
}

/** Where a person may arrive whose session is gone; elsewhere programs call, or a form is half-way. */
const ENTRANCES = new Set<string>([ROUTES.authorization, ROUTES.code_verification, '/account'])

/** Signs remembered browsers in again, and lets them go on where they were going. */
export function recogniseBrowsers({ issuer, rememberMe, browserSessions, log }: Needs): Middleware {
  const cookies = createRememberCookies(issuer)

  return async (ctx, next) => {
    const value = ctx.method === 'GET' && ENTRANCES.has(ctx.path) ? cookies.read(ctx) : undefined
    if (value === undefined) return await next()
    if (!rememberMe.isOffered) {
      cookies.clear(ctx)
      return await next()
    }
    if (await browserSessions.find(ctx)) return await next()
    // This cookie may be outdated too.
    if (browserSessions.isOutdated()) return await next()

    const recognised = await rememberMe.recognise(value, originOf(ctx))
    const fields = { event: 'remembered', request: ctx.state.requestId, address: ctx.ip }
    if (recognised.outcome !== 'recognised') {
      log.info({ ...fields, outcome: recognised.outcome })
      cookies.clear(ctx)
      return await next()
    }
    const { account, authenticatedAt, cookie } = recognised
    log.info({ ...fields, outcome: 'recognised', account: account.sub })
    cookies.set(ctx, cookie)
    // There is no room for another session: the login page says so to who signs in.
    if (await browserSessions.isFull(ctx, account)) return await next()
    await browserSessions.start(ctx, account, { method: 'remembered', at: authenticatedAt })
    ctx.status = 303
    // Not `ctx.url`: one that begins with two slashes would lead elsewhere.
    ctx.redirect(`${ctx.path}${ctx.search}`)
  }
}
