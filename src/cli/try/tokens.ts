import { createRemoteJWKSet, customFetch, decodeProtectedHeader, jwtVerify } from 'jose'
import * as openid from 'openid-client'
import type { RelyingParty } from './relying-party.ts'

export type Tokens = openid.TokenEndpointResponse & openid.TokenEndpointResponseHelpers
type Claims = Readonly<Record<string, unknown>>

/** RFC 6749 §5.1, OpenID Connect Core §3.1.3.3 */
const RESPONSE_MEMBERS = [
  'access_token',
  'token_type',
  'expires_in',
  'scope',
  'refresh_token',
  'id_token',
] as const

/** The result of a flow, in the names of the specifications. All claims are verified. */
export type Outcome = Pick<Tokens, (typeof RESPONSE_MEMBERS)[number]> &
  Readonly<{ id_token_claims?: Claims; access_token_claims?: Claims; userinfo?: Claims }>

/** RFC 9068 §2.2 */
const PROFILE_CLAIMS = ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti']

/** Verifies the tokens, and calls userinfo when the access token is for it. */
export async function examineTokens(party: RelyingParty, tokens: Tokens): Promise<Outcome> {
  const idTokenClaims = tokens.claims()
  const accessTokenClaims = await verifyAccessToken(party, tokens.access_token)
  const userinfo = isForUserinfo(party, tokens)
    ? await openid.fetchUserInfo(
        party.server,
        tokens.access_token,
        idTokenClaims?.sub ?? openid.skipSubjectCheck,
      )
    : undefined
  return {
    ...pick(tokens, RESPONSE_MEMBERS),
    ...(idTokenClaims ? { id_token_claims: idTokenClaims } : {}),
    ...(accessTokenClaims ? { access_token_claims: accessTokenClaims } : {}),
    ...(userinfo ? { userinfo } : {}),
  }
}

/** Whether a scope (a string) contains this value. */
export function has(scope: string, one: string): boolean {
  return scope.split(' ').includes(one)
}

/** A token for a resource is for that only (RFC 8707 §2). Without `scope`, the request was granted in full (RFC 6749 §5.1). */
function isForUserinfo({ server, resource, scope }: RelyingParty, tokens: Tokens): boolean {
  return (
    resource === undefined &&
    server.serverMetadata().userinfo_endpoint !== undefined &&
    has(tokens.scope ?? scope, 'openid')
  )
}

/** @returns undefined for an opaque token. Rejects when the signature, times or audience of a JWT are wrong. */
async function verifyAccessToken({ server, resource, fetch }: RelyingParty, token: string) {
  const type = findJwtType(token)
  if (type === undefined) return undefined
  const { issuer, jwks_uri } = server.serverMetadata()
  if (!jwks_uri) throw new Error('The access token is a JWT, but the server publishes no keys to verify it.')
  const keys = createRemoteJWKSet(new URL(jwks_uri), {
    [customFetch]: (url, { headers, ...init }) =>
      fetch(url, { ...init, headers: Object.fromEntries(headers), body: undefined }),
  })
  try {
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      requiredClaims: /^(application\/)?at\+jwt$/i.test(type) ? PROFILE_CLAIMS : ['exp'],
      ...(resource === undefined ? {} : { audience: resource }),
    })
    return payload
  } catch (error) {
    throw new Error('The access token is a JWT that does not verify', { cause: error })
  }
}

function findJwtType(token: string): string | undefined {
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return undefined
  try {
    return decodeProtectedHeader(token).typ ?? ''
  } catch {
    return undefined // An opaque token may have three parts too.
  }
}

function pick<T extends object, K extends keyof T>(object: T, names: readonly K[]): Pick<T, K> {
  const present = names.filter((name) => object[name] !== undefined).map((name) => [name, object[name]])
  return Object.fromEntries(present) as Pick<T, K>
}
