import { type Configuration, errors, interactionPolicy, type KoaContextWithOIDC } from 'oidc-provider'
import type { Lifetimes } from '../config/config.ts'
import { HOUR_SECONDS, MINUTE_SECONDS, toEpochSeconds } from '../time.ts'
import type { ExtraClientMetadata } from './client/client-metadata.ts'
import { engineAheadSeconds, engineNow } from './engine/engine-time.ts'
import { storedSession } from './engine/request-context.ts'
import { isOverFor, type SessionLimits } from './session/session-limits.ts'
import { isRemembered, startOf } from './session/session-use.ts'
import { isSatisfied, requestedAcrs } from './session/step-up.ts'

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
/** A session nobody signed in to exists for the CSRF value of the device and logout pages. */
const ANONYMOUS_SESSION_SECONDS = 10 * MINUTE_SECONDS

/** How long a client may make its own assertions last (RFC 7523 §3): each is remembered until it ends. */
const CLIENT_ASSERTION_SECONDS = 5 * MINUTE_SECONDS
const CLOCK_TOLERANCE_SECONDS = 15
/** A DPoP proof is accepted for this long before and after its `iat`. */
export const DPOP_PROOF_SECONDS = 5 * MINUTE_SECONDS

/** RFC 8628 §3.2: devices wait this long between polls … */
export const DEVICE_POLL_INTERVAL_SECONDS = 5
/** … and this much longer after each poll that came too soon (§3.5). */
export const DEVICE_POLL_STEP_SECONDS = 5
/** A duplicate of a code's redemption this soon is a double click: it loses, and harms nobody. */
export const CONSUMED_GRACE_SECONDS = 10

/** So often a client may be wrong about a code of its own before the code ends: who is wrong that often does not own it. */
export const CODE_MOST_MISSES = 5

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
    Session(_ctx, session) {
      if (!session.accountId || session.loginTs === undefined) return ANONYMOUS_SESSION_SECONDS
      return sessionSeconds(session, lifetimes, engineNow())
    },
  }
}

/**
 * The engine's lifetime of a session: the idle time or the time left until its cap, and at least the second that the
 * engine requires. The stored session ends at the cap (adapter/session.ts).
 */
export function sessionSeconds(
  session: Parameters<typeof startOf>[0],
  { sessionIdleSeconds, sessionAbsoluteSeconds }: Lifetimes,
  now: Date,
): number {
  const untilCap = startOf(session) + sessionAbsoluteSeconds - toEpochSeconds(now)
  return Math.max(1, Math.min(sessionIdleSeconds, untilCap))
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

/** When a person must be asked: the engine's prompts, with checks of ours. */
export function createInteractionPolicy(limits: SessionLimits): interactionPolicy.DefaultPolicy {
  const policy = interactionPolicy.base()
  const login = policy.get('login')
  const { Check } = interactionPolicy
  // Ours knows which level includes which; the engine's would ask for ever for one that a better one includes.
  for (const replaced of ['essential_acr', 'essential_acrs']) login?.checks.remove(replaced)

  const checks: Record<string, (oidc: KoaContextWithOIDC['oidc']) => boolean> = {
    // Disabled or deleted while signed in: the engine would go on without an account and fail.
    account_unavailable: ({ session, account }) => Boolean(session?.accountId && !account),
    // The person was signed out everywhere after this sign-in page was answered.
    signed_out: ({ result, account }) =>
      result?.login !== undefined &&
      account !== undefined &&
      result.login.accessEpoch !== account.accessEpoch,
    // Signing in answers the others, whatever the session was before.
    session_limit: ({ session, client, result }) => {
      const stored = session && storedSession(session.uid)
      return !result?.login && stored !== undefined && isOverFor(client, stored, limits)
    },
    remembered_refused: ({ session, client, result }) =>
      !result?.login &&
      isRemembered(session) &&
      (client as ExtraClientMetadata | undefined)?.remember_me === false,
    step_up: (oidc) => !oidc.result?.login && !isSatisfied(requestedAcrs(oidc), oidc.acr),
  }
  for (const [reason, mustAsk] of Object.entries(checks))
    login?.checks.add(
      new Check(reason, 'End-User authentication is required', 'login_required', ({ oidc }) =>
        mustAsk(oidc) ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT,
      ),
    )
  return policy
}

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
