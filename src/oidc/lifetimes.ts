import type { Configuration } from 'oidc-provider'
import type { Lifetimes } from '../config/config.ts'
import { HOUR_SECONDS, MINUTE_SECONDS } from '../time.ts'
import { engineAheadSeconds } from './engine/request-context.ts'
import { sessionSeconds } from './session/session-lifetime.ts'

/** Authorization codes: FAPI 2.0 §5.3.2.1, OWASP ASVS 10.4.3. */
const AUTHORIZATION_CODE_SECONDS = 60
/** ID tokens; an expired one is still a valid hint at logout. */
const ID_TOKEN_SECONDS = 15 * MINUTE_SECONDS
/** Access tokens of services (RFC 6749 §4.4.3): they can ask again at any time. */
const CLIENT_CREDENTIALS_SECONDS = 10 * MINUTE_SECONDS
/** Device and user codes (RFC 8628 §3.2). */
const DEVICE_CODE_SECONDS = 10 * MINUTE_SECONDS
/** Pushed authorization requests (RFC 9126 §2.2 asks for 5 to 600). */
const PUSHED_REQUEST_SECONDS = 60
/** A login or consent page left open. */
const INTERACTION_SECONDS = 15 * MINUTE_SECONDS
/** How long everything lives. The engine wants synchronous functions that return whole seconds above zero. */
export function createLifetimePolicy(lifetimes: Lifetimes): NonNullable<Configuration['ttl']> {
  return {
    AccessToken: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? lifetimes.accessTokenSeconds,
    AuthorizationCode: AUTHORIZATION_CODE_SECONDS,
    ClientCredentials: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? CLIENT_CREDENTIALS_SECONDS,
    DeviceCode: DEVICE_CODE_SECONDS,
    // A grant outlives every token that hangs on it: a family may begin when the session that it serves is about to end.
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
