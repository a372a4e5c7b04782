import { type ClaimsParameter, errors, type KoaContextWithOIDC } from 'oidc-provider'

/**
 * How surely we know who somebody is (`acr`, OpenID Connect Core §2), weakest first: each satisfies whoever asks for
 * one before it. Second factors will be stronger than a password.
 */
export const ACR = {
  /** The browser was remembered: nobody proved anything since. */
  remembered: 'urn:sallyport:acr:remembered',
  password: 'urn:sallyport:acr:password',
} as const

export const ACR_VALUES: readonly string[] = Object.values(ACR)

/** The parameter, `id_token` in it, `acr` in that, `values` in that, and room for more. */
const MAX_CLAIMS_DEPTH = 8

type AcrRequest = { essential?: boolean; value?: unknown; values?: unknown }

/**
 * Which levels a request asks for: `acr_values`, or `acr` in the `claims` parameter. Levels that do not exist are
 * passed over: only when they are essential are they an error, see {@link narrowClaims}.
 */
export function requestedAcrs({
  params,
  claims,
}: Pick<KoaContextWithOIDC['oidc'], 'params' | 'claims'>): string[] {
  const fromClaims = valuesOf(claims?.id_token?.acr as AcrRequest | null | undefined)
  const fromParameter = typeof params?.acr_values === 'string' ? params.acr_values.split(' ') : []
  return [...fromClaims, ...fromParameter].filter((acr) => ACR_VALUES.includes(acr))
}

/** Whether a session of this level is good enough for one of the levels asked for. */
export function isSatisfied(requested: readonly string[], acr: string = ACR.password): boolean {
  return (
    requested.length === 0 || requested.some((asked) => ACR_VALUES.indexOf(asked) <= ACR_VALUES.indexOf(acr))
  )
}

/**
 * The `claims` parameter is for how somebody is authenticated (OpenID Connect Core §5.5.1.1). Claims about people are
 * asked for by scopes, which the consent page can explain; here they are passed over, as §5.5.1 allows.
 *
 * @throws {errors.UnmetAuthenticationRequirements} when a level is essential that nobody can reach here.
 * @throws {errors.InvalidRequest} when what is asked is nested deeper than any request for a claim, or holds text
 *   that Postgres stores none of: NUL, or half of a surrogate pair.
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

/**
 * What a resource server needs to know to ask for a step-up (RFC 9470 §6): when and how surely the person was
 * authenticated behind this access token.
 */
export function authenticationClaims({
  oidc,
}: KoaContextWithOIDC):
  | { auth_time: number; acr: string | undefined; amr: string[] | undefined }
  | undefined {
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
