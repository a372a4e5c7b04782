import type { Context, Middleware } from 'koa'
import { type RememberCookie, type RememberMe, rememberedIdIn } from '../../accounts/remember-me.ts'
import type { Log } from '../../log.ts'
import { ROUTES } from '../../oidc/engine/endpoints.ts'
import { toEngineSeconds } from '../../oidc/engine/engine-time.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import type { BrowserSessions } from '../../oidc/session/browser-session.ts'
import { cookieNames, createCookie } from '../../oidc/session/cookies.ts'
import type { Account } from '../../store/account/account.ts'

type RememberCookies = ReturnType<typeof createRememberCookies>

type Needs = { rememberMe: RememberMe; cookies: RememberCookies; browserSessions: BrowserSessions; log: Log }

/** The remember-me cookie. Separate from the session cookie, so it can be revoked and never acts as a session. */
export function createRememberCookies(issuer: string) {
  const cookie = createCookie(cookieNames(issuer).remember, { isSigned: true })
  const { read } = cookie
  /** The identifier in the cookie. The secret is not checked. */
  const idOf = (ctx: Context): string | undefined => rememberedIdIn(read(ctx))
  const set = (ctx: Context, { value, expiresAt }: RememberCookie): void => {
    cookie.set(ctx, value, { until: new Date(toEngineSeconds(expiresAt) * 1000) })
  }
  const clear = (ctx: Context): void => {
    if (cookie.isSent(ctx)) cookie.clear(ctx)
  }

  /**
   * Applies the choice of a person who signs in. A browser is remembered for one account at most.
   *
   * @returns the identifier of the remembered browser from now on.
   */
  async function rememberOrForget(
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

  return { read, idOf, set, clear, rememberOrForget }
}

/** Pages that start a visit. Other paths are called by programs or continue a form. */
const ENTRANCES = new Set<string>([ROUTES.authorization, ROUTES.code_verification, '/account'])

/** Starts a session for a remembered browser and repeats the request. */
export function signInRememberedBrowsers({ rememberMe, cookies, browserSessions, log }: Needs): Middleware {
  return async (ctx, next) => {
    const value = ctx.method === 'GET' && ENTRANCES.has(ctx.path) ? cookies.read(ctx) : undefined
    if (value === undefined) return await next()
    if (!rememberMe.isOffered) {
      cookies.clear(ctx)
      return await next()
    }
    if (await browserSessions.find(ctx)) return await next()
    // The browser has newer cookies than this request, perhaps also a newer remember-me cookie.
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
    // The session limit is reached. The login page says so after the password.
    if (await browserSessions.isFull(ctx, account)) return await next()
    await browserSessions.start(ctx, account, { method: 'remembered', at: authenticatedAt })
    ctx.status = 303
    // Not `ctx.url`: a URL that begins with two slashes would redirect to another host.
    ctx.redirect(`${ctx.path}${ctx.search}`)
  }
}
