/**
 * Well-known phrases that attackers try first: examples from articles about passphrases, declarations, quotations,
 * proverbs, songs, films and games. `common-passphrases.json` lists them, the best known first.
 *
 * @see NIST SP 800-63B-4 §3.1.1.2
 */
import PHRASES from './common-passphrases.json' with { type: 'json' }

/** The example of xkcd 936. Its words are listed in every order. */
const EXAMPLE = ['correct', 'horse', 'battery', 'staple']

/** Removes the separators between words. Characters that stand for letters (`4` for `a`) stay. */
export function squeeze(password: string): string {
  return password.normalize('NFKC').replace(/[\s\p{Pd}\p{Pc}\p{Cf}.,;:'’"/\\|+*~·]+/gu, '')
}

/** The letters of a password, and the number of its other characters. */
export function lettersOf(password: string): { letters: string; others: number } {
  const squeezed = squeeze(password)
  const letters = squeezed.replace(/[^\p{L}\p{M}]+/gu, '')
  return { letters, others: squeezed.length - letters.length }
}

/** Common passphrases without spaces, the best known first. */
export const COMMON_PASSPHRASES: readonly string[] = [
  ...new Set([...PHRASES, ...ordersOf(EXAMPLE)].map((phrase) => squeeze(phrase.toLowerCase()))),
]

function ordersOf(words: readonly string[]): string[] {
  if (words.length < 2) return [...words]
  return words.flatMap((word) =>
    ordersOf(words.filter((other) => other !== word)).map((rest) => `${word} ${rest}`),
  )
}
