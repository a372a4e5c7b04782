import type { Context, Middleware } from 'koa'
import type { KoaContextWithOIDC } from 'oidc-provider'
import { cookieNames, createCookie } from '../../oidc/session/cookies.ts'
import { DAY_SECONDS } from '../../time.ts'

export type SessionNotices = ReturnType<typeof createSessionNotices>

type Needs = { issuer: string; sessionAbsoluteSeconds: number }

/**
 * A cookie that outlives the session cookie by a day and says only that the browser was signed in, so that the login page
 * can say that the session ended.
 */
export function createSessionNotices({ issuer, sessionAbsoluteSeconds }: Needs) {
  const cookie = createCookie(cookieNames(issuer).notice, { isSigned: false })
  const wasSignedIn = (ctx: Context) => cookie.read(ctx) === '1'

  function set(ctx: Context): void {
    if (!wasSignedIn(ctx)) cookie.set(ctx, '1', { seconds: sessionAbsoluteSeconds + DAY_SECONDS })
  }

  /** For sign-out: the person knows that the session ended. */
  function clear(ctx: Context): void {
    if (wasSignedIn(ctx)) cookie.clear(ctx)
  }

  /** Sets the cookie when the engine signs a browser in, and clears it when it signs the browser out. */
  const follow: Middleware = async (ctx, next) => {
    await next()
    const { oidc } = ctx as unknown as Partial<KoaContextWithOIDC>
    if (oidc?.route === 'end_session_confirm' && oidc.params?.logout) clear(ctx)
    else if (oidc?.route === 'resume' && oidc.session?.accountId) set(ctx)
  }

  return { wasSignedIn, set, clear, follow }
}
