/**
 * Room oidc/compat/: behaviour for which the engine has no setting. translations.ts rewrites requests before the engine
 * reads them; this file corrects its responses and names the clause that requires each correction.
 */
import type { Context, Middleware } from 'koa'
import type { Client, KoaContextWithOIDC } from 'oidc-provider'
import { DEVICE_GRANT_TYPE } from '../../store/client/grant-type.ts'
import { DEVICE_POLL_INTERVAL_SECONDS } from '../adapter/device-code.ts'
import { RESPONSE_MODES } from '../engine/endpoints.ts'
import { withDatabaseTimes } from '../engine/engine-time.ts'
import { errorCodeIn } from '../engine/errors.ts'

type Oidc = KoaContextWithOIDC['oidc']

/** Allows the forms of the rendered page to be sent to these URLs (CSP `form-action`). */
type AllowFormTargets = (ctx: Context, targets: readonly (string | undefined)[]) => void

/** The endpoints where clients authenticate. */
const CLIENT_ROUTES = new Set([
  'token',
  'introspection',
  'revocation',
  'device_authorization',
  'pushed_authorization_request',
])

export function correctAnswers(allowFormTargets: AllowFormTargets): Middleware {
  return async (ctx, next) => {
    await next()
    const { oidc } = ctx as Context & { oidc?: Oidc }
    if (!oidc) return
    if (ctx.status === 200) completeSuccess(ctx, oidc, allowFormTargets)
    else if (CLIENT_ROUTES.has(oidc.route)) correctError(ctx, oidc)
  }
}

function completeSuccess(ctx: Context, oidc: Oidc, allowFormTargets: AllowFormTargets): void {
  if (ctx.type === 'text/html') allowFormTargets(ctx, formTargetsOf(oidc))
  // RFC 8414 §2
  if (oidc.route === 'discovery') addToBody(ctx, { response_modes_supported: RESPONSE_MODES })
  // RFC 8628 §3.2
  if (oidc.route === 'device_authorization') addToBody(ctx, { interval: DEVICE_POLL_INTERVAL_SECONDS })
  // The engine takes times from this machine's clock.
  if (oidc.route === 'introspection') ctx.body = withDatabaseTimes(ctx.body as object)
}

/**
 * The engine answers `invalid_request` to a grant type outside a client's registration, which is `unauthorized_client`,
 * and to missing client authentication, which is 401 `invalid_client` (RFC 6749 §5.2).
 */
function correctError(ctx: Context, oidc: Oidc): void {
  if (errorCodeIn(ctx) !== 'invalid_request') return
  if (oidc.client) {
    if (isOutsideRegistration(oidc.client, oidc)) addToBody(ctx, { error: 'unauthorized_client' })
  } else if (isWithoutAuthentication(ctx, oidc)) refuseUnauthenticated(ctx)
}

/**
 * The form targets of the engine's own pages: the form of `response_mode=form_post`, and the sign-out before another
 * person signs in. Our pages have set their targets already.
 */
function formTargetsOf({ params, entities, session, client }: Oidc): (string | undefined)[] {
  const request = params?.response_mode === 'form_post' ? params : entities.Interaction?.params
  const { postLogoutRedirectUri } = session?.state ?? {}
  const targets = [request?.redirect_uri, postLogoutRedirectUri].filter(
    (target) => typeof target === 'string',
  )
  return targets.length > 0 ? [...targets, client?.clientUri] : []
}

function isOutsideRegistration(client: Client, { route, params }: Oidc): boolean {
  switch (route) {
    case 'token':
      return typeof params?.grant_type === 'string' && !client.grantTypeAllowed(params.grant_type)
    case 'device_authorization':
      return !client.grantTypeAllowed(DEVICE_GRANT_TYPE)
    case 'pushed_authorization_request':
      return params?.response_type === 'code' && !client.responseTypeAllowed('code')
    default:
      return false
  }
}

/** Whether the request has no client authentication of a supported kind. */
function isWithoutAuthentication(ctx: Context, { params }: Oidc): boolean {
  if (!params) return false
  const authorization = ctx.get('authorization')
  const isOtherScheme = authorization !== '' && !/^basic /i.test(authorization)
  return (
    isOtherScheme ||
    (authorization === '' && params.client_id === undefined && params.client_assertion === undefined)
  )
}

function refuseUnauthenticated(ctx: Context): void {
  ctx.status = 401
  ctx.set('WWW-Authenticate', 'Basic realm="clients"')
  ctx.body = { error: 'invalid_client', error_description: 'client authentication is missing' }
}

function addToBody(ctx: Context, members: Record<string, unknown>): void {
  ctx.body = { ...(ctx.body as object), ...members }
}
