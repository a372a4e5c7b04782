import { type Match, ZxcvbnFactory } from '@zxcvbn-ts/core'
import { adjacencyGraphs, dictionary } from '@zxcvbn-ts/language-common'
import { COMMON_PASSPHRASES, lettersOf, squeeze } from './common-passphrases.ts'

/** Guesses that a password must withstand: with Argon2id, years of a thousand tries a second. */
const LEAST_GUESSES = 1e12
/**
 * What is judged. The time grows with the cube of the length, and who repeats one word for so long will not make up
 * for it afterwards: hostile input of any length takes some milliseconds.
 */
const JUDGED_CHARACTERS = 40
/** Digits and marks that people choose from. */
const SIGNS = 20
/** How many readings of `p4$$w0rd` are tried. */
const READINGS = 5

/** What makes a password easy to guess, the largest part of it first. */
export type Weakness = 'common' | 'context' | 'repeated' | 'sequence' | 'date'

/**
 * Judges how many guesses a password withstands by lists of common passwords and passphrases, keyboard walks, sequences,
 * repetitions, dates and words of the moment. Making it takes some 80 ms and 8 MB.
 *
 * @see NIST SP 800-63B-4 §3.1.1.2
 */
export function createGuessing() {
  const limits = { maxLength: JUDGED_CHARACTERS, l33tMaxSubstitutions: READINGS }
  const passwords = new ZxcvbnFactory({
    ...limits,
    dictionary: { passwords: dictionary['passwords-common'] },
    graphs: adjacencyGraphs,
  })
  // Has an estimator of its own: without spaces, honest passphrases of three short words would look like passwords.
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

  /** Of a password as a phrase with `p4ssw0rd` letters, or with signs between its words. */
  function guessesOfPhrase(password: string): number {
    const { letters, others } = lettersOf(password)
    return Math.min(
      passphrases.check(squeeze(password)).guesses,
      passphrases.check(letters).guesses * SIGNS ** others,
    )
  }
}

const cut = (phrase: string): string => phrase.slice(0, JUDGED_CHARACTERS)

/** A phrase that is repeated, as far as it is judged. */
const fill = (phrase: string): string => phrase.padEnd(JUDGED_CHARACTERS, phrase)

export type FindWeakness = ReturnType<typeof createGuessing>

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
