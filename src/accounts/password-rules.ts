import type { Account } from '../store/account/account.ts'
import type { PasswordFault } from '../ui/view-models.ts'
import { isPossiblePassword, MAX_PASSWORD_CHARACTERS, normalizePassword } from './password.ts'
import type { FindWeakness } from './password-strength.ts'

/** Of a password that is all there is; where a second factor is enforced, NIST asks for 8. */
export const LEAST_PASSWORD_CHARACTERS = 15
/** A shorter word in a passphrase is chance. */
const LEAST_WORD_CHARACTERS = 3
const MOST_WORD_CHARACTERS = 40
const MOST_WORDS = 40

/** A password that may not be chosen. Its message is for programmers. */
export class PasswordRuleError extends Error {
  override name = 'PasswordRuleError'
  readonly fault: PasswordFault
  constructor(fault: PasswordFault) {
    super(`this password may not be chosen: ${fault.code}`)
    this.fault = fault
  }
}

/** Whose password it is to be; what others know of them is easily guessed. */
export type PasswordOwner = Partial<Pick<Account, 'username' | 'email' | 'profile'>>

export type PasswordRules = ReturnType<typeof createPasswordRules>

/**
 * The rules for new passwords, for every way of setting one: a minimum length, no composition rules, no common
 * passwords, and nothing derived from the person or the service (NIST SP 800-63B-4 §3.1.1.2).
 *
 * @param names of the service: its brand, its host name.
 */
export function createPasswordRules({ names }: { names: readonly string[] }) {
  let guessing: Promise<FindWeakness> | undefined

  /** Loads the lists; the command line seldom needs them. */
  function load(): Promise<FindWeakness> {
    guessing ??= import('./password-strength.ts').then(({ createPasswordStrength }) =>
      createPasswordStrength(),
    )
    return guessing
  }

  /** Judges a password that somebody wants to set. @returns undefined when it may be chosen. */
  async function judge(password: string, owner: PasswordOwner): Promise<PasswordFault | undefined> {
    // Browsers drop line ends in password fields, forms refuse NUL, and a lone surrogate has no UTF-8 encoding.
    if (!password.isWellFormed() || /\p{Cc}/u.test(password)) return { code: 'unprintable' }
    const normalized = normalizePassword(password)
    const length = [...normalized].length
    if (length < LEAST_PASSWORD_CHARACTERS)
      return { code: 'too-short', least: LEAST_PASSWORD_CHARACTERS, length }
    // A password that sign-in would refuse unread must not be set.
    if (!isPossiblePassword(password))
      return { code: 'too-long', most: MAX_PASSWORD_CHARACTERS, length: [...password].length }
    const findWeakness = await load()
    const code = findWeakness(normalized, contextWords([...names, ...namesOf(owner)]))
    return code && { code }
  }

  return {
    load,
    judge,

    /** @returns the password in the form that is hashed. @throws {PasswordRuleError} */
    async parse(password: string, owner: PasswordOwner): Promise<string> {
      const fault = await judge(password, owner)
      if (fault) throw new PasswordRuleError(fault)
      return normalizePassword(password)
    },
  }
}

function namesOf({ username, email, profile = {} }: PasswordOwner): string[] {
  const { name, given_name, family_name, nickname } = profile
  return [username, email, name, given_name, family_name, nickname].filter((word) => typeof word === 'string')
}

/** Each name whole, without its gaps, and in its parts. */
function contextWords(names: readonly string[]): string[] {
  const words = names.flatMap((name) => {
    const normalized = name.normalize('NFC').toLowerCase()
    const parts = normalized.split(/[^\p{L}\p{M}\p{N}]+/u)
    return [normalized, parts.join(''), ...parts]
  })
  return [...new Set(words)]
    .filter(({ length }) => length >= LEAST_WORD_CHARACTERS && length <= MOST_WORD_CHARACTERS)
    .slice(0, MOST_WORDS)
}
