/** No vowels, so that no code is a word, and nothing that reads like something else (RFC 8628 §6.1). */
const LETTERS = /^[BCDFGHJKLMNPQRSTVWXZ]*$/
/** How the engine writes a code: a star for each letter. */
export const USER_CODE_MASK = '****-****'
export const USER_CODE_LETTERS = 8

/** Why an entry can be no user code. `characters` are neither letters from A to Z nor digits, spaces or dashes. */
export type UserCodeFault = 'characters' | 'letters' | 'length'

/** An entry in the one spelling that codes have: small letters, spaces and dashes are forgiven (RFC 8628 §6.1). */
function fold(entered: string): string {
  // Of ASCII alone: `toUpperCase` makes an S of the long s of old prints.
  return entered.replace(/[\s-]/g, '').replace(/[a-z]/g, (letter) => letter.toUpperCase())
}

/** Whether this entry is this code. The engine forgives more: it drops whatever is no letter, digit or underscore. */
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
