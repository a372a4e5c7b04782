import { type JWK, SignJWT } from 'jose'
import type { DueLogout } from '../store/outbox/backchannel-logout.ts'
import { type Clock, toEpochSeconds } from '../time.ts'

/** Long enough for clocks that differ; who gets hold of one later can do nothing with it. */
const LIFETIME_SECONDS = 120
const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout'

type Needs = {
  issuer: string
  /** The private keys of this moment, those that sign first. */
  jwks: () => { keys: JWK[] }
  now: Clock
}

/**
 * Makes logout tokens, signed as the client's ID tokens are. Each attempt gets a new one with the same `jti`, so that
 * a client that has confirmed already knows it again.
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
