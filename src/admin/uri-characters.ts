import type { z } from 'zod'

/** Control characters of ASCII and Latin-1, line and paragraph separators, and bidirectional controls. */
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u

/**
 * Checks the URI of a client or resource for characters that programs interpret differently: URL parsers drop tabs and
 * line feeds, C programs end at NUL, headers and log lines end at a line feed.
 *
 * @returns what is wrong with it, or undefined.
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
