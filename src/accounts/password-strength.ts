import { type Match, ZxcvbnFactory } from '@zxcvbn-ts/core'
import { adjacencyGraphs, dictionary } from '@zxcvbn-ts/language-common'
import type { Weakness } from '../ui/view-models.ts'
import { COMMON_PASSPHRASES, lettersOf, squeeze } from './common-passphrases.ts'

/** Guesses that a password must withstand: with Argon2id, years of a thousand tries a second. */
const LEAST_GUESSES = 1e12
/**
 * What is judged. The time grows with the cube of the length, and who repeats one word for so long will not make up
 * for it afterwards: hostile input of any length takes some milliseconds.
 */
const JUDGED_CHARACTERS = 40
/** Digits and punctuation marks that people commonly choose from. */
const SIGNS = 20
/** How many readings of `p4$$w0rd` are tried. */
const READINGS = 5

/**
 * Estimates how many guesses a password withstands: common passwords and passphrases, keyboard walks, sequences,
 * repetitions, dates and words of the context. Creating it takes about 80 ms and 8 MB.
 *
 * @see NIST SP 800-63B-4 §3.1.1.2
 */
export function createPasswordStrength() {
  const limits = { maxLength: JUDGED_CHARACTERS, l33tMaxSubstitutions: READINGS }
  const passwords = new ZxcvbnFactory({
    ...limits,
    dictionary: { passwords: dictionary['passwords-common'] },
    graphs: adjacencyGraphs,
  })
  // A separate estimator without the password dictionary: with its separators removed, an honest passphrase of three
  // short words would be judged as common passwords.
  const passphrases = new ZxcvbnFactory({
    ...limits,
    dictionary: { passphrases: [...COMMON_PASSPHRASES.map(cut), ...COMMON_PASSPHRASES.map(fill)] },
  })

  /** @param context words that others know of the person and the place, none longer than a name. */
  return (password: string, context: readonly string[]): Weakness | undefined => {
    const { guesses, sequence } = passwords.check(password, [...context])
    if (guesses < LEAST_GUESSES) return weaknessOf(sequence)
    return guessesOfPhrase(password) < LEAST_GUESSES ? 'common' : undefined
  }

  /**
   * The guesses for a password read as a phrase with substituted letters (`p4ssw0rd`) or with separators between its
   * words.
   */
  function guessesOfPhrase(password: string): number {
    const { letters, others } = lettersOf(password)
    return Math.min(
      passphrases.check(squeeze(password)).guesses,
      passphrases.check(letters).guesses * SIGNS ** others,
    )
  }
}

const cut = (phrase: string): string => phrase.slice(0, JUDGED_CHARACTERS)

/** A phrase repeated up to the number of characters that the estimator reads. */
const fill = (phrase: string): string => phrase.padEnd(JUDGED_CHARACTERS, phrase)

export type FindWeakness = ReturnType<typeof createPasswordStrength>

function weaknessOf(matches: readonly Match[]): Weakness {
  const [largest] = matches
    .filter(({ pattern }) => pattern !== 'bruteforce' && pattern !== 'separator')
    .sort((one, other) => other.token.length - one.token.length)
  switch (largest?.pattern) {
    case 'repeat':
      return 'repeated'
    case 'sequence':
    case 'spatial':
      return 'sequence'
    case 'date':
    case 'regex':
      return 'date'
    default:
      return largest?.dictionaryName === 'userInputs' ? 'context' : 'common'
  }
}
