import type { Context, Middleware } from 'koa'
import type { KoaContextWithOIDC } from 'oidc-provider'
import { cookieNames, createCookie } from '../../oidc/session/cookies.ts'
import { DAY_SECONDS } from '../../time.ts'

export type SessionNotices = ReturnType<typeof createSessionNotices>

/**
 * Browsers drop the cookie of a session that expires. This one stays a day longer and says only that somebody was
 * signed in, so that they can be told why they are asked again.
 */
export function createSessionNotices({
  issuer,
  sessionAbsoluteSeconds,
}: {
  issuer: string
  sessionAbsoluteSeconds: number
}) {
  const cookie = createCookie(cookieNames(issuer).notice, { isSigned: false })
  const wasSignedIn = (ctx: Context) => cookie.read(ctx) === '1'

  function note(ctx: Context): void {
    if (!wasSignedIn(ctx)) cookie.set(ctx, '1', { seconds: sessionAbsoluteSeconds + DAY_SECONDS })
  }

  /** People who sign out know that it ended. */
  function forget(ctx: Context): void {
    if (wasSignedIn(ctx)) cookie.clear(ctx)
  }

  /** Notes who signs in and out through the engine. */
  const watch: Middleware = async (ctx, next) => {
    await next()
    const { oidc } = ctx as unknown as Partial<KoaContextWithOIDC>
    if (oidc?.route === 'end_session_confirm' && oidc.params?.logout) forget(ctx)
    else if (oidc?.route === 'resume' && oidc.session?.accountId) note(ctx)
  }

  return { wasSignedIn, note, forget, watch }
}
