/**
 * Room oidc/device/: user codes of devices (RFC 8628 §6.1) and the rate limit against guessing them. The stored device
 * code is in adapter/device-code.ts.
 */
import type { UserCodeFault } from '../../ui/view-models.ts'

/** No vowels, so that no code is a word, and no letters that look alike (RFC 8628 §6.1). */
const LETTERS = /^[BCDFGHJKLMNPQRSTVWXZ]*$/
/** The engine's mask of a user code: a star for each letter. */
export const USER_CODE_MASK = '****-****'
export const USER_CODE_LETTERS = 8

/** Normalizes an entry: ignores letter case, spaces and dashes (RFC 8628 §6.1). */
function fold(entered: string): string {
  // ASCII only: `toUpperCase` would turn ſ (long s) into S.
  return entered.replace(/[\s-]/g, '').replace(/[a-z]/g, (letter) => letter.toUpperCase())
}

/** Whether the entry is this code. The engine ignores more characters: all but letters, digits and underscores. */
export function isEntryOf(entered: unknown, userCode: string): boolean {
  return typeof entered === 'string' && fold(entered) === userCode
}

/** @returns undefined when the entry may be a code. */
export function faultOf(entered: string): UserCodeFault | undefined {
  const folded = fold(entered)
  if (!/^[A-Z0-9]*$/.test(folded)) return 'characters'
  if (!LETTERS.test(folded)) return 'letters'
  return folded.length === USER_CODE_LETTERS ? undefined : 'length'
}
