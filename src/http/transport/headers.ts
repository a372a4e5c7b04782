import { randomUUID } from 'node:crypto'
import type { Context, Middleware } from 'koa'

const TWO_YEARS_SECONDS = 63_072_000
const NOTHING_ALLOWED = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"

/** Headers of every response, errors included (OWASP ASVS 3.4). The policy allows nothing; pages get another one. */
export function securityHeaders(issuer: string): ReadonlyMap<string, string> {
  const isSecure = issuer.startsWith('https:')
  const headers = {
    'Content-Security-Policy': NOTHING_ALLOWED,
    'X-Frame-Options': 'DENY',
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Permissions-Policy': PERMISSIONS_POLICY,
    'Cache-Control': 'no-store',
    ...(isSecure
      ? { 'Strict-Transport-Security': `max-age=${TWO_YEARS_SECONDS}; includeSubDomains` }
      : undefined),
  }
  return new Map(Object.entries(headers))
}

/** Sets the security headers. Pages whose forms redirect to other origins widen `form-action` alone. */
export function setSecurityHeaders({ issuer }: { issuer: string }): Middleware {
  const unchanging = new Map(securityHeaders(issuer))
  return async (ctx, next) => {
    // One call: setting each header by itself is among the largest costs of a small answer.
    ctx.res.setHeaders(unchanging)
    const nonce = randomUUID().replaceAll('-', '')
    ctx.state.nonce = nonce
    ctx.set('Content-Security-Policy', contentSecurityPolicy(nonce))
    await next()
    if (ctx.status === 200 && PUBLIC_DOCUMENTS.has(ctx.path)) ctx.set('Cache-Control', 'public, max-age=600')
  }
}

/** Documents that clients may cache for ten minutes. */
const PUBLIC_DOCUMENTS = new Set([
  '/.well-known/openid-configuration',
  '/.well-known/oauth-authorization-server',
  '/jwks',
])

const PERMISSIONS_POLICY = [
  'accelerometer',
  'autoplay',
  'camera',
  'display-capture',
  'fullscreen',
  'geolocation',
  'gyroscope',
  'magnetometer',
  'microphone',
  'midi',
  'payment',
  'picture-in-picture',
  'screen-wake-lock',
  'usb',
  'xr-spatial-tracking',
]
  .map((feature) => `${feature}=()`)
  .concat('publickey-credentials-create=(self)', 'publickey-credentials-get=(self)')
  .join(', ')

/**
 * Lets the forms of this page lead to these URLs through redirects: browsers hold `form-action` against every hop,
 * the app's own onward redirect included. Only origins and schemes are named.
 */
export function allowFormTargets(
  ctx: Pick<Context, 'set' | 'response'>,
  targets: readonly (string | undefined)[],
): void {
  const policy = ctx.response.get('Content-Security-Policy')
  const sources = new Set(targets.flatMap((target) => (target === undefined ? [] : toSource(target))))
  ctx.set(
    'Content-Security-Policy',
    policy.replace(/form-action [^;]*/, ["form-action 'self'", ...sources].join(' ')),
  )
}

function contentSecurityPolicy(nonce: string): string {
  return [
    "default-src 'none'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    // Pages have one script; the engine adds the hash of the script that posts a response (form_post).
    `script-src 'nonce-${nonce}'`,
    "connect-src 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "form-action 'self'",
  ].join('; ')
}

function toSource(target: string): string[] {
  const url = URL.parse(target)
  if (!url) return []
  return [/^https?:$/.test(url.protocol) ? url.origin : url.protocol]
}
