import { type Match, ZxcvbnFactory } from '@zxcvbn-ts/core'
import { adjacencyGraphs, dictionary } from '@zxcvbn-ts/language-common'
import type { Weakness } from '../ui/view-models.ts'
import { COMMON_PASSPHRASES, lettersOf, squeeze } from './common-passphrases.ts'

/** Guesses that a password must withstand: with Argon2id, 30 years at 1,000 guesses per second. */
const LEAST_GUESSES = 1e12
/** Only the first characters are estimated: time grows with the cube of the length, and input may be hostile. */
const ESTIMATED_CHARACTERS = 40
/** Digits and punctuation marks that people commonly choose from. */
const SIGNS = 20
/** Readings of substituted letters (`p4$$w0rd`) that are tried. */
const READINGS = 5

/**
 * Estimates how many guesses a password withstands: common passwords and passphrases, keyboard walks, sequences,
 * repetitions, dates and words of the context. Creating it takes about 80 ms and 8 MB.
 *
 * @see NIST SP 800-63B-4 §3.1.1.2
 */
export function createPasswordStrengthCheck() {
  const limits = { maxLength: ESTIMATED_CHARACTERS, l33tMaxSubstitutions: READINGS }
  const passwords = new ZxcvbnFactory({
    ...limits,
    dictionary: { passwords: dictionary['passwords-common'] },
    graphs: adjacencyGraphs,
  })
  // A separate estimator without the password dictionary: with its separators removed, an honest passphrase of three
  // short words would be estimated as common passwords.
  const passphrases = new ZxcvbnFactory({
    ...limits,
    dictionary: { passphrases: [...COMMON_PASSPHRASES.map(cut), ...COMMON_PASSPHRASES.map(fill)] },
  })

  /** @param context words known about the person and the service. */
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

const cut = (phrase: string): string => phrase.slice(0, ESTIMATED_CHARACTERS)

/** A phrase repeated up to the number of characters that the estimator reads. */
const fill = (phrase: string): string => phrase.padEnd(ESTIMATED_CHARACTERS, phrase)

export type FindWeakness = ReturnType<typeof createPasswordStrengthCheck>

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
