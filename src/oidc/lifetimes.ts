import { type Configuration, errors, type KoaContextWithOIDC } from 'oidc-provider'
import type { Lifetimes } from '../config/config.ts'
import { HOUR_SECONDS, MINUTE_SECONDS } from '../time.ts'
import { engineAheadSeconds } from './engine/request-context.ts'
import { sessionSeconds } from './session/session-lifetime.ts'

/** Authorization codes: FAPI 2.0 §5.3.2.1, OWASP ASVS 10.4.3. */
const AUTHORIZATION_CODE_SECONDS = 60
/** ID tokens; an expired one is still a valid hint at logout. */
const ID_TOKEN_SECONDS = 15 * MINUTE_SECONDS
/** Access tokens of services (RFC 6749 §4.4.3), which can request another at any time. */
const CLIENT_CREDENTIALS_SECONDS = 10 * MINUTE_SECONDS
/** Device and user codes (RFC 8628 §3.2). */
const DEVICE_CODE_SECONDS = 10 * MINUTE_SECONDS
/** Pushed authorization requests (RFC 9126 §2.2 asks for 5 to 600). */
const PUSHED_REQUEST_SECONDS = 60
/** How long a sign-in or consent page may stay open. */
const INTERACTION_SECONDS = 15 * MINUTE_SECONDS
/** All lifetimes, in seconds. The engine requires synchronous functions that return whole seconds above zero. */
export function createLifetimePolicy(lifetimes: Lifetimes): NonNullable<Configuration['ttl']> {
  return {
    AccessToken: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? lifetimes.accessTokenSeconds,
    AuthorizationCode: AUTHORIZATION_CODE_SECONDS,
    ClientCredentials: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? CLIENT_CREDENTIALS_SECONDS,
    DeviceCode: DEVICE_CODE_SECONDS,
    // A grant outlives every token under it: a family may begin when its session is about to end.
    Grant: lifetimes.refreshTokenAbsoluteSeconds + lifetimes.sessionAbsoluteSeconds + HOUR_SECONDS,
    IdToken: () => Math.max(1, ID_TOKEN_SECONDS - engineAheadSeconds()),
    Interaction: INTERACTION_SECONDS,
    PushedAuthorizationRequest: PUSHED_REQUEST_SECONDS,
    RefreshToken: (_ctx, token) =>
      Math.max(
        1,
        Math.min(
          lifetimes.refreshTokenIdleSeconds,
          lifetimes.refreshTokenAbsoluteSeconds - token.totalLifetime(),
        ),
      ),
    Session: (_ctx, session) => sessionSeconds(session, lifetimes),
  }
}

/** Refresh tokens rotate on every use, until the family reaches its absolute age (RFC 9700 §4.14.2). */
export function createRotationPolicy({ refreshTokenAbsoluteSeconds }: Lifetimes) {
  return ({ oidc }: KoaContextWithOIDC): boolean => {
    const { RefreshToken, Grant } = oidc.entities
    if ((RefreshToken?.totalLifetime() ?? 0) >= refreshTokenAbsoluteSeconds)
      throw new errors.InvalidGrant('the refresh token family reached its absolute lifetime')
    const isOffline = RefreshToken?.scopes.has('offline_access')
    if (isOffline && !Grant?.getOIDCScope().split(' ').includes('offline_access'))
      throw new errors.InvalidGrant('offline_access was withdrawn')
    return true
  }
}
