import { errors, type KoaContextWithOIDC } from 'oidc-provider'
import { MINUTE_SECONDS, toEpochSeconds } from '../../time.ts'
import { engineNow } from '../engine/engine-time.ts'
import { engineAheadSeconds } from '../engine/request-context.ts'

/** How long a client may make its own assertions last (RFC 7523 §3): each is remembered until it ends. */
const CLIENT_ASSERTION_SECONDS = 5 * MINUTE_SECONDS
const CLOCK_TOLERANCE_SECONDS = 15
/**
 * Refuses a validly signed client assertion whose lifetime is too long, or whose audience is anything but one string,
 * the issuer or its token endpoint (CVE-2025-27370, RFC 7523bis §3). The engine would accept a list that also names
 * another server, which could then present the assertion here.
 */
export function assertClientAssertion(
  { oidc }: Pick<KoaContextWithOIDC, 'oidc'>,
  { exp, aud }: Record<string, unknown>,
): void {
  if (aud !== oidc.issuer && aud !== oidc.urlFor('token'))
    throw new errors.InvalidClientAuth('the audience must be one string: the issuer or the token endpoint')
  const now = toEpochSeconds(engineNow()) - engineAheadSeconds()
  const latest = now + CLIENT_ASSERTION_SECONDS + CLOCK_TOLERANCE_SECONDS
  if (typeof exp !== 'number' || exp > latest) {
    throw new errors.InvalidClientAuth(`client assertions may last ${CLIENT_ASSERTION_SECONDS} seconds`)
  }
}
