import { type JWK, SignJWT } from 'jose'
import type { DueLogout } from '../store/outbox/backchannel-logout.ts'
import { type Clock, toEpochSeconds } from '../time.ts'

/** Long enough for clocks that differ, short enough to make a leaked token useless. */
const LIFETIME_SECONDS = 120
const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout'

type Needs = {
  issuer: string
  /** The current private keys, in the order in which they sign. */
  jwks: () => { keys: JWK[] }
  now: Clock
}

/**
 * Creates logout tokens, signed with the algorithm of the client's ID tokens. Each attempt gets a new token with the
 * same `jti`, so that the client recognises a repeated one.
 *
 * @see OpenID Connect Back-Channel Logout 1.0 §2.4
 */
export function createLogoutTokens({ issuer, jwks, now }: Needs) {
  return async ({ id, clientId, alg, accountSub, sid }: DueLogout): Promise<string> => {
    const key = jwks().keys.find((key) => key.alg === alg)
    if (!key) throw new Error(`there is no ${alg} key`)
    const issuedAt = toEpochSeconds(now())
    // No nonce, which the specification forbids: this must never pass for an ID token.
    return await new SignJWT({ events: { [LOGOUT_EVENT]: {} }, ...(sid === undefined ? {} : { sid }) })
      .setProtectedHeader({ alg, typ: 'logout+jwt', ...(key.kid === undefined ? {} : { kid: key.kid }) })
      .setIssuer(issuer)
      .setAudience(clientId)
      .setSubject(accountSub)
      .setJti(id)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + LIFETIME_SECONDS)
      .sign(key)
  }
}
