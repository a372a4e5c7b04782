import { isLoopback } from '../loopback.ts'
import { uriCharacterFault } from './uri-characters.ts'

/**
 * Which redirect URIs may be registered. The engine compares them literally at run time; what is registered must
 * therefore be unambiguous.
 *
 * @see RFC 9700 §2.1, RFC 8252 §7
 */

/** An app must be able to trust that these come from us. */
const RESPONSE_PARAMETERS = [
  'code',
  'state',
  'iss',
  'error',
  'error_description',
  'error_uri',
  'id_token',
  'access_token',
  'response',
]

/** @returns what is wrong with it, or undefined. */
export function redirectUriFault(uri: string, { isNative }: { isNative: boolean }): string | undefined {
  const characterFault = uriCharacterFault(uri)
  if (characterFault) return characterFault
  const url = URL.parse(uri)
  if (!url) return 'is not an absolute URI'
  if (uri.includes('#')) return 'must not have a fragment'
  if (uri.includes('*')) return 'must not have a wildcard: URIs are compared literally'
  if (url.username || url.password) return 'must not have credentials'
  const reserved = RESPONSE_PARAMETERS.find((name) => url.searchParams.has(name))
  if (reserved) return `must not have the parameter ${reserved}: it belongs to the response`
  if (url.href !== uri && url.href !== `${uri}/`) return `is not in its normal form, ${url.href}`

  if (url.protocol === 'https:')
    return isNative && isLoopback(url) ? 'must use http on the loopback interface' : undefined
  if (url.protocol === 'http:') return isLoopback(url) ? undefined : 'must use https, except on localhost'
  if (!isNative) return 'must be an https URL'
  // RFC 8252 §7.1: a scheme that nobody else claims is a reversed domain name.
  return url.protocol.includes('.')
    ? undefined
    : 'has a private scheme without a dot: use a reversed domain name such as com.example.app:/callback'
}
