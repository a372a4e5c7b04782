import type { Context, Middleware } from 'koa'
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

/** RFC 8628 §3.2: tells devices how long to wait between polls, which the engine leaves out. */
export function announcePollInterval(intervalSeconds: number): Middleware {
  return async (ctx, next) => {
    await next()
    if (ctx.oidc?.route === 'device_authorization' && ctx.status === 200 && typeof ctx.body === 'object') {
      ctx.body = { ...ctx.body, interval: intervalSeconds }
    }
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
