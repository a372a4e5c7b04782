import type { Context } from 'koa'

/** Where the engine answers. Clients find these through discovery; people type `/device`. */
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

/** Where programs POST; the engine would say that nothing is there. */
const POST_ONLY = new Set<string>([
  ROUTES.token,
  ROUTES.introspection,
  ROUTES.revocation,
  ROUTES.pushed_authorization_request,
  ROUTES.device_authorization,
])

/** Nobody looks at these in a browser: errors are JSON, whatever the request accepts (RFC 6749 §5.2). */
const PROGRAMS_ONLY = new Set<string>([...POST_ONLY, ROUTES.userinfo, ROUTES.jwks])

/** The engine and our router match paths in any letter case and with a slash at the end. */
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

/** Where browsers come; elsewhere programs call. */
export function isForPeople(ctx: Context): boolean {
  return !isForPrograms(ctx) && !ctx.path.toLowerCase().startsWith('/.well-known/')
}

/**
 * What is sent where must come from our own pages: everything that people send, but for the requests of apps, which
 * come from their sites and only ask.
 */
export function isOwnForm(ctx: Context): boolean {
  const path = normalPath(ctx)
  return isForPeople(ctx) && path !== ROUTES.authorization && path !== ROUTES.end_session
}

/** Where the engine goes on when a page of ours is answered: our own redirect leads there, and nothing else. */
export function isResumption(ctx: Context): boolean {
  const path = normalPath(ctx)
  return (
    isForPeople(ctx) &&
    [ROUTES.authorization, ROUTES.code_verification].some((route) => path.startsWith(`${route}/`))
  )
}
