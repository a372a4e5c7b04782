import type { z } from 'zod'
import { isLoopback } from '../loopback.ts'

/** Parameters of an authorization response: a client relies on them coming from the server. */
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

/**
 * Checks a redirect URI at registration. The engine compares redirect URIs literally, so they must be unambiguous.
 *
 * @returns the fault as the end of a sentence, or undefined.
 * @see RFC 9700 §2.1, RFC 8252 §7
 */
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
  // A reversed domain name avoids collisions between apps (RFC 8252 §7.1).
  return url.protocol.includes('.')
    ? undefined
    : 'has a private scheme without a dot: use a reversed domain name such as com.example.app:/callback'
}

/** Control characters of ASCII and Latin-1, line and paragraph separators, and bidirectional controls. */
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u

/**
 * Checks the URI of a client or resource for characters that programs interpret differently: URL parsers drop tabs and
 * line feeds, C programs end at NUL, headers and log lines end at a line feed.
 *
 * @returns the fault as the end of a sentence, or undefined.
 * @see RFC 3986 §2, §7.3
 */
export function uriCharacterFault(uri: string): string | undefined {
  if (!/^[\x21-\x7e]*$/.test(uri))
    return 'must not have spaces, control characters or characters beyond ASCII'
  const decoded = decode(uri)
  if (decoded === undefined) return 'has an escape that is not “%” and two hex digits of UTF-8'
  if (CONTROLS.test(decoded)) return 'must not have escapes of control characters'
  // Browsers and many servers treat a backslash as a slash.
  const [path = ''] = uri.split(/[?#]/, 1)
  return /\\|%5c/i.test(path) ? 'must not have a backslash in its path, escaped or not' : undefined
}

/** The same check as a zod refinement. */
export function checkUriCharacters(uri: string, { addIssue }: z.RefinementCtx): void {
  const message = uriCharacterFault(uri)
  if (message) addIssue({ code: 'custom', message })
}

function decode(uri: string): string | undefined {
  try {
    return decodeURIComponent(uri)
  } catch {
    return undefined
  }
}
