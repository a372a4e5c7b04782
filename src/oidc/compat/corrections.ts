import type { Context, Middleware } from 'koa'
import type { Client, KoaContextWithOIDC } from 'oidc-provider'
import { DEVICE_GRANT_TYPE } from '../../store/client/grant-type.ts'
import { RESPONSE_MODES } from '../engine/endpoints.ts'
import { withDatabaseTimes } from '../engine/engine-time.ts'

type Oidc = KoaContextWithOIDC['oidc']

/** Allows the forms of the rendered page to lead to these URLs (CSP `form-action`). */
type AllowFormTargets = (ctx: Context, targets: readonly (string | undefined)[]) => void

/** Where clients authenticate. */
const CLIENT_ROUTES = new Set([
  'token',
  'introspection',
  'revocation',
  'device_authorization',
  'pushed_authorization_request',
])

/**
 * Corrects the engine's answers: the form targets of its own pages; the poll interval (RFC 8628 §3.2); the supported
 * response modes in the metadata (RFC 8414 §2); introspection times, which the engine reads from this machine's clock;
 * `unauthorized_client` for a grant type outside a client's registration and 401 `invalid_client` for missing
 * authentication (RFC 6749 §5.2), where the engine answers `invalid_request`.
 */
export function correctAnswers({
  pollIntervalSeconds,
  allowFormTargets,
}: {
  pollIntervalSeconds: number
  allowFormTargets: AllowFormTargets
}): Middleware {
  return async (ctx, next) => {
    await next()
    const { oidc } = ctx as Context & { oidc?: Oidc }
    if (!oidc) return
    if (ctx.type === 'text/html' && ctx.status === 200) allowFormTargets(ctx, formTargetsOf(oidc))
    if (oidc.route === 'discovery' && ctx.status === 200)
      addToBody(ctx, { response_modes_supported: RESPONSE_MODES })
    if (!CLIENT_ROUTES.has(oidc.route)) return
    if (oidc.route === 'device_authorization' && ctx.status === 200)
      addToBody(ctx, { interval: pollIntervalSeconds })
    if (oidc.route === 'introspection' && ctx.status === 200) ctx.body = withDatabaseTimes(ctx.body as object)
    if (!isInvalidRequest(ctx.body)) return
    if (oidc.client && isOutsideRegistration(oidc.client, oidc))
      addToBody(ctx, { error: 'unauthorized_client' })
    else if (!oidc.client && isWithoutAuthentication(ctx, oidc)) refuseUnauthenticated(ctx)
  }
}

/**
 * The engine has pages of its own that only submit a form: `response_mode=form_post` to the app, and signing out
 * before it goes on. Ours have named their targets already.
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

/** Nothing of the request names a client in a way that we accept. */
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

function isInvalidRequest(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'error' in body && body.error === 'invalid_request'
}

function addToBody(ctx: Context, members: Record<string, unknown>): void {
  ctx.body = { ...(ctx.body as object), ...members }
}
