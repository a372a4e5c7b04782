/** No vowels, so that no code is a word, and nothing that reads like something else (RFC 8628 §6.1). */
const LETTERS = /^[BCDFGHJKLMNPQRSTVWXZ]*$/

/**
 * A user code as people enter it, for the engine, which forgives small letters, dashes and spaces: full-width letters
 * are letters, too, and an underscore is one more dash.
 */
export function readUserCode(entered: string): string {
  return entered.normalize('NFKC').replaceAll('_', '-')
}

/** Whether something was entered that is in no user code: a vowel, a digit, a letter of another script. */
export function hasOddLetters(entered: string): boolean {
  return !LETTERS.test(
    readUserCode(entered)
      .toUpperCase()
      .replace(/[\s\p{P}]/gu, ''),
  )
}
