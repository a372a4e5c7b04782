import { type ClaimsParameter, errors, type KoaContextWithOIDC } from 'oidc-provider'

/**
 * Authentication levels (`acr`, OpenID Connect Core §2), weakest first: each level satisfies a request for an earlier
 * one. Second factors will be stronger than a password.
 */
export const ACR = {
  /** The browser was remembered; no proof of identity was given. */
  remembered: 'urn:sallyport:acr:remembered',
  password: 'urn:sallyport:acr:password',
} as const

export const ACR_VALUES: readonly string[] = Object.values(ACR)

/** `claims` → `id_token` → `acr` → `values` is four deep. */
const MAX_CLAIMS_DEPTH = 8

type AcrRequest = { essential?: boolean; value?: unknown; values?: unknown }

/**
 * The levels that a request asks for: `acr_values`, or `acr` in the `claims` parameter. Unknown levels are ignored;
 * unknown essential ones are an error of {@link narrowClaims}.
 */
export function requestedAcrs({
  params,
  claims,
}: Pick<KoaContextWithOIDC['oidc'], 'params' | 'claims'>): string[] {
  const fromClaims = valuesOf(claims?.id_token?.acr as AcrRequest | null | undefined)
  const fromParameter = typeof params?.acr_values === 'string' ? params.acr_values.split(' ') : []
  return [...fromClaims, ...fromParameter].filter((acr) => ACR_VALUES.includes(acr))
}

/** Whether a session of this level satisfies one of the requested levels. */
export function isSatisfied(requested: readonly string[], acr: string = ACR.password): boolean {
  return (
    requested.length === 0 || requested.some((level) => ACR_VALUES.indexOf(level) <= ACR_VALUES.indexOf(acr))
  )
}

/**
 * Narrows the `claims` parameter to claims about the authentication (OpenID Connect Core §5.5.1.1). Claims about the
 * person are requested by scopes, which the consent page explains; here they are ignored, as §5.5.1 allows.
 *
 * @throws {errors.UnmetAuthenticationRequirements} when an essential level is unknown.
 * @throws {errors.InvalidRequest} when the value is nested too deeply, or holds text that Postgres cannot store: NUL, or
 *   half of a surrogate pair.
 */
export function narrowClaims({ oidc }: KoaContextWithOIDC, claims: ClaimsParameter): void {
  if (!isStorable(claims, MAX_CLAIMS_DEPTH))
    throw new errors.InvalidRequest('the claims parameter is nested too deeply, or holds text that is none')
  const { acr, auth_time, sub } = claims.id_token ?? {}
  const request = acr as AcrRequest | null | undefined
  const values = valuesOf(request)
  if (request?.essential && values.length > 0 && !values.some((value) => ACR_VALUES.includes(value)))
    throw new errors.UnmetAuthenticationRequirements('none of the requested acr values is known here')
  if (oidc.params) oidc.params.claims = JSON.stringify({ id_token: { acr, auth_time, sub } })
}

/** Claims of access tokens by which a resource server can require a step-up (RFC 9470 §6). */
export function authenticationClaims({ oidc }: KoaContextWithOIDC) {
  const { AuthorizationCode, RefreshToken, DeviceCode } = oidc.entities
  const source = AuthorizationCode ?? RefreshToken ?? DeviceCode
  return source?.authTime === undefined
    ? undefined
    : { auth_time: source.authTime, acr: source.acr, amr: source.amr }
}

function isStorable(value: unknown, depth: number): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\0')
  if (typeof value !== 'object' || value === null) return true
  return (
    depth > 0 && Object.entries(value).every((member) => member.every((part) => isStorable(part, depth - 1)))
  )
}

function valuesOf(request: AcrRequest | null | undefined): string[] {
  const { value, values } = request ?? {}
  return [value, ...(Array.isArray(values) ? values : [])].filter((acr) => typeof acr === 'string')
}
