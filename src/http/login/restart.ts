import type { Context, Middleware } from 'koa'
import type { KoaContextWithOIDC } from 'oidc-provider'
import type { Vault } from '../../crypto/vault.ts'
import { ROUTES } from '../../oidc/engine/endpoints.ts'
import { ProofOutdatedError, SessionNotFound } from '../../oidc/engine/errors.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { cookieNames, createCookie } from '../../oidc/session/cookies.ts'
import { DAY_SECONDS } from '../../time.ts'

/** A login page that was left open overnight still works in the morning. */
const RESTART_SECONDS = DAY_SECONDS
/** Browsers limit a cookie to about 4 KB; a longer request is not restarted. */
const MAX_COOKIE_CHARACTERS = 3_800
const PURPOSE = 'authorization request'

type Interaction = NonNullable<KoaContextWithOIDC['oidc']['entities']['Interaction']>

/**
 * Restarts an authorization request whose page is no longer valid: expired, or already answered. The browser keeps the
 * sealed request in a cookie that outlives the interaction, so it survives restarts and clean-up, and only this browser
 * can restart it.
 *
 * Wraps the middleware that answers interactions and their resumption.
 */
export function restartRequests({ issuer, vault }: { issuer: string; vault: Vault }): Middleware {
  const name = cookieNames(issuer).restart

  return async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      const isOver = error instanceof SessionNotFound || error instanceof ProofOutdatedError
      const url = isOver ? readRequest(ctx) : undefined
      if (url === undefined) throw error
      redirect(ctx, url)
      return
    }
    if (ctx.state.isExpired) {
      const url = readRequest(ctx)
      if (url !== undefined) redirect(ctx, url)
      return
    }
    const interaction = (ctx as unknown as KoaContextWithOIDC).oidc?.entities.Interaction
    if (interaction && String(ctx.response.get('location') ?? '').includes('/interaction/'))
      keepRequest(ctx, interaction)
  }

  function keepRequest(ctx: Context, { uid, params, returnTo }: Interaction): void {
    const resumePath = new URL(returnTo).pathname
    // A device authorization restarts with the form for the user code.
    const isDevice = resumePath.startsWith(`${ROUTES.code_verification}/`)
    const url = isDevice ? ROUTES.code_verification : authorizationUrl(params)
    const value = vault.seal(url, PURPOSE, [uid]).toString('base64url')
    if (value.length > MAX_COOKIE_CHARACTERS) return
    for (const path of [`/interaction/${uid}`, resumePath])
      createCookie(name, { isSigned: false, path, overwrite: false }).set(ctx, value, {
        seconds: RESTART_SECONDS,
      })
  }

  function readRequest(ctx: Context): string | undefined {
    // The sign-out form contains its request, which leads back to the same page only.
    if (ctx.path === `${ROUTES.end_session}/confirm`)
      return `${ROUTES.end_session}?${new URLSearchParams(formOf(ctx).get('request') ?? '')}`
    const value = createCookie(name, { isSigned: false }).read(ctx)
    if (!value) return undefined
    // The cookie is bound to its page: it cannot restart another request.
    return vault.tryOpen(Buffer.from(value, 'base64url'), PURPOSE, [ctx.path.split('/').at(-1) ?? ''])
  }
}

function authorizationUrl(params: Record<string, unknown>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    // A pushed request is single-use; its parameters are in `params`.
    if (value === undefined || name === 'request_uri') continue
    for (const item of [value].flat()) query.append(name, String(item))
  }
  return `${ROUTES.authorization}?${query}`
}

function redirect(ctx: Context, url: string): void {
  ctx.body = null
  ctx.status = 303
  ctx.redirect(url)
}
