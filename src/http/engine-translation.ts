import type { Context, Middleware } from 'koa'
import type { Client, KoaContextWithOIDC } from 'oidc-provider'
import { ROUTES } from '../oidc/provider.ts'
import { replayForm } from './form.ts'
import { formOf } from './guards.ts'

/**
 * Our pages speak one language (`action` is `approve` or `deny`), and apps may POST where the engine takes GET.
 * Here both become what the engine understands.
 */
export const translateEngineForms: Middleware = (ctx, next) => {
  const path = normalPath(ctx)
  if (ctx.method === 'POST' && path === ROUTES.authorization) return redirectToGet(ctx)
  if (ctx.method === 'POST' && path === ROUTES.code_verification)
    translateAction(ctx, { approve: 'confirm', deny: 'abort' })
  if (ctx.method === 'POST' && path === `${ROUTES.end_session}/confirm`)
    translateAction(ctx, { approve: 'logout' })
  if (ctx.method === 'GET' && path === ROUTES.code_verification) prefillUserCode(ctx)
  return next()
}

/** Which paths show pages whose forms must come from our own pages. */
export function isOwnForm(ctx: Context): boolean {
  const path = normalPath(ctx)
  return (
    path === ROUTES.code_verification ||
    path === `${ROUTES.end_session}/confirm` ||
    path.startsWith('/interaction/')
  )
}

/**
 * Mends two answers of the engine: it leaves out the poll interval (RFC 8628 §3.2), and calls a client that may not
 * use a grant `invalid_request` where RFC 6749 §5.2 and §4.1.2.1 say `unauthorized_client`.
 */
export function mendEngineAnswers({ pollIntervalSeconds }: { pollIntervalSeconds: number }): Middleware {
  return async (ctx, next) => {
    await next()
    const { oidc, body } = ctx as Context & Partial<KoaContextWithOIDC>
    if (oidc?.route === 'device_authorization' && ctx.status === 200)
      ctx.body = { ...(body as object), interval: pollIntervalSeconds }
    if (oidc?.client && isOutsideRegistration(oidc.client, oidc)) nameUnauthorizedClient(ctx)
  }
}

function isOutsideRegistration(client: Client, { route, params }: KoaContextWithOIDC['oidc']): boolean {
  switch (route) {
    case 'token':
      return typeof params?.grant_type === 'string' && !client.grantTypeAllowed(params.grant_type)
    case 'device_authorization':
      return !client.grantTypeAllowed('urn:ietf:params:oauth:grant-type:device_code')
    case 'authorization':
    case 'pushed_authorization_request':
      return params?.response_type === 'code' && !client.responseTypeAllowed('code')
    default:
      return false
  }
}

function nameUnauthorizedClient(ctx: Context): void {
  const body: unknown = ctx.body
  if (typeof body === 'object' && body !== null && 'error' in body && body.error === 'invalid_request') {
    ctx.body = { ...body, error: 'unauthorized_client' }
  }
}

/**
 * OpenID Connect Core §3.1.2.1 asks for POST too. The session cookie is SameSite=Lax, so only the GET that the
 * browser makes next carries it.
 */
function redirectToGet(ctx: Context): void {
  ctx.status = 303
  ctx.redirect(`${ROUTES.authorization}?${formOf(ctx).toString()}`)
}

/** `verification_uri_complete` fills the field; the person still presses the button (RFC 8628 §3.3.1, §5.4). */
function prefillUserCode(ctx: Context): void {
  const { user_code } = ctx.query
  if (user_code === undefined) return
  ctx.state.userCode = String(user_code).slice(0, 32)
  ctx.querystring = ''
}

function translateAction(ctx: Context, names: { approve: string; deny?: string }): void {
  const form = formOf(ctx)
  const action = form.get('action')
  if (action === null) return
  form.delete('action')
  const name = action === 'approve' ? names.approve : action === 'deny' ? names.deny : undefined
  for (const reserved of ['confirm', 'abort', 'logout']) form.delete(reserved)
  if (name) form.set(name, 'yes')
  replayForm(ctx, form)
}

/** The engine matches paths in any letter case and with a slash at the end. */
function normalPath(ctx: Context): string {
  return ctx.path.toLowerCase().replace(/\/$/, '')
}
