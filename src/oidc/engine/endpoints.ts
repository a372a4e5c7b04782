import type { Context } from 'koa'

/** The engine's paths. Clients find them through discovery; people type `/device`. */
export const ROUTES = {
  authorization: '/authorize',
  token: '/token',
  userinfo: '/userinfo',
  jwks: '/jwks',
  introspection: '/introspect',
  revocation: '/revoke',
  pushed_authorization_request: '/par',
  code_verification: '/device',
  device_authorization: '/device/authorize',
  end_session: '/logout',
} as const

/** The supported response modes. A fragment would expose the code to every script of the page (RFC 9700 §4.3.1). */
export const RESPONSE_MODES: readonly string[] = ['query', 'form_post']

/** Endpoints that take POST only. The engine answers 404 to other methods. */
const POST_ONLY = new Set<string>([
  ROUTES.token,
  ROUTES.introspection,
  ROUTES.revocation,
  ROUTES.pushed_authorization_request,
  ROUTES.device_authorization,
])

/** Endpoints for programs: errors are JSON for every `Accept` header (RFC 6749 §5.2). */
const PROGRAMS_ONLY = new Set<string>([...POST_ONLY, ROUTES.userinfo, ROUTES.jwks])

/** The engine and the router match paths in any letter case and with a trailing slash. */
export function normalPath(ctx: Pick<Context, 'path'>): string {
  return ctx.path.toLowerCase().replace(/\/$/, '')
}

export function isTokenRequest(ctx: Pick<Context, 'path'>): boolean {
  return normalPath(ctx) === ROUTES.token
}

export function takesOnlyPost(ctx: Context): boolean {
  return POST_ONLY.has(normalPath(ctx))
}

export function isForPrograms(ctx: Context): boolean {
  return PROGRAMS_ONLY.has(normalPath(ctx))
}

/** Whether the path is for browsers. */
export function isForPeople(ctx: Context): boolean {
  return !isForPrograms(ctx) && !ctx.path.toLowerCase().startsWith('/.well-known/')
}

/**
 * Whether forms sent to this path must come from our own pages. Authorization and logout requests come from the sites of
 * clients and change nothing by themselves.
 */
export function isOwnForm(ctx: Context): boolean {
  const path = normalPath(ctx)
  return isForPeople(ctx) && path !== ROUTES.authorization && path !== ROUTES.end_session
}

/** Whether the engine continues here after an interaction page. Only our own redirect leads here. */
export function isResumption(ctx: Context): boolean {
  const path = normalPath(ctx)
  return (
    isForPeople(ctx) &&
    [ROUTES.authorization, ROUTES.code_verification].some((route) => path.startsWith(`${route}/`))
  )
}
