import type { Context, Middleware } from 'koa'
import { isForPrograms, normalPath, RESPONSE_MODES, ROUTES } from '../engine/endpoints.ts'
import { SessionNotFound } from '../engine/errors.ts'
import { formOf, replayForm } from '../engine/form.ts'
import { cookieNames } from '../session/cookies.ts'

/**
 * Rewrites requests for the engine: the buttons of our pages (`action` is `approve` or `deny`), POST requests to
 * endpoints where the engine takes GET, unsupported response modes, and a user code in the URL.
 */
export function translateRequests({ issuer }: { issuer: string }): Middleware {
  const cookies = cookieNames(issuer)
  const approveOrDeny: Record<string, { approve: string; deny?: string }> = {
    [ROUTES.code_verification]: { approve: 'confirm', deny: 'abort' },
    [`${ROUTES.end_session}/confirm`]: { approve: 'logout' },
  }
  return (ctx, next) => {
    const path = normalPath(ctx)
    if (isForPrograms(ctx)) ctx.req.headers.accept = 'application/json'
    if (ctx.method === 'POST' && (path === ROUTES.authorization || path === ROUTES.end_session))
      return redirectToGet(ctx, path)
    if (path === ROUTES.authorization || path === ROUTES.pushed_authorization_request)
      renameResponseModes(ctx)
    if (ctx.method === 'POST' && path === ROUTES.code_verification) requireCookies(ctx, [cookies.session])
    const names = ctx.method === 'POST' ? approveOrDeny[path] : undefined
    if (names) translateAction(ctx, names)
    if (ctx.method === 'GET' && path === ROUTES.code_verification) prefillUserCode(ctx)
    if (ctx.method !== 'POST' && path.startsWith(`${ROUTES.code_verification}/`))
      requireCookies(ctx, [cookies.session, cookies.resume])
    return next()
  }
}

/**
 * Clients may POST too (OpenID Connect Core §3.1.2.1, RP-Initiated Logout §2). The session cookie is SameSite=Lax, so
 * the browser sends it only with the GET that follows.
 */
function redirectToGet(ctx: Context, path: string): void {
  ctx.status = 303
  ctx.redirect(`${path}?${formOf(ctx).toString()}`)
}

/**
 * The engine has no setting to forbid `response_mode=fragment`. Unsupported modes are renamed to a value that the engine
 * does not know, so that it refuses them in the default mode.
 */
function renameResponseModes(ctx: Context): void {
  const parameters = ctx.method === 'POST' ? formOf(ctx) : new URLSearchParams(ctx.querystring)
  const modes = parameters.getAll('response_mode')
  if (modes.every((mode) => mode === '' || RESPONSE_MODES.includes(mode))) return
  parameters.delete('response_mode')
  for (const mode of modes)
    parameters.append('response_mode', RESPONSE_MODES.includes(mode) ? mode : 'unsupported')
  if (ctx.method === 'POST') replayForm(ctx, parameters)
  else ctx.querystring = parameters.toString()
}

/** `verification_uri_complete` fills the field; the person still presses the button (RFC 8628 §3.3.1, §5.4). */
function prefillUserCode(ctx: Context): void {
  const { user_code } = ctx.query
  if (user_code === undefined) return
  ctx.state.userCode = String(user_code).slice(0, 32)
  ctx.querystring = ''
}

/** Refuses to continue a device's approval in another browser: the engine would fail to save the missing session. */
function requireCookies(ctx: Context, names: readonly string[]): void {
  if (names.some((name) => !ctx.cookies.get(name, { signed: true })))
    throw new SessionNotFound('the approval began in another browser')
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
