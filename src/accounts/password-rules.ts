import type { Account } from '../store/account/account.ts'
import type { PasswordFault } from '../ui/view-models.ts'
import { isPossiblePassword, MAX_PASSWORD_CHARACTERS, normalizePassword } from './password.ts'
import type { FindWeakness } from './password-strength.ts'

/** For a password as the only factor; with a second factor NIST requires 8 (SP 800-63B-4 §3.1.1.2). */
export const LEAST_PASSWORD_CHARACTERS = 15
/** Shorter words occur in passphrases by chance. */
const LEAST_WORD_CHARACTERS = 3
const MOST_WORD_CHARACTERS = 40
const MOST_WORDS = 40

/** A password that violates a rule. The message is for logs; pages word the `fault`. */
export class PasswordRuleError extends Error {
  override name = 'PasswordRuleError'
  readonly fault: PasswordFault
  constructor(fault: PasswordFault) {
    super(`this password may not be chosen: ${fault.code}`)
    this.fault = fault
  }
}

/** The owner of the password: their names are easily guessed. */
export type PasswordOwner = Partial<Pick<Account, 'username' | 'email' | 'profile'>>

export type PasswordRules = ReturnType<typeof createPasswordRules>

/**
 * The rules for new passwords, for every way of setting one: a minimum length, no composition rules, no common
 * passwords, and nothing derived from the person or the service (NIST SP 800-63B-4 §3.1.1.2).
 *
 * @param names of the service: its brand, its host name.
 */
export function createPasswordRules({ names }: { names: readonly string[] }) {
  let findingWeakness: Promise<FindWeakness> | undefined

  /** Loads the word lists once; most commands do not need them. */
  function load(): Promise<FindWeakness> {
    findingWeakness ??= import('./password-strength.ts').then(({ createPasswordStrengthCheck }) =>
      createPasswordStrengthCheck(),
    )
    return findingWeakness
  }

  /** Checks a new password against the rules. @returns undefined when it may be set. */
  async function check(password: string, owner: PasswordOwner): Promise<PasswordFault | undefined> {
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
    check,

    /** @returns the password in the form that is hashed. @throws {PasswordRuleError} */
    async parse(password: string, owner: PasswordOwner): Promise<string> {
      const fault = await check(password, owner)
      if (fault) throw new PasswordRuleError(fault)
      return normalizePassword(password)
    },
  }
}

function namesOf({ username, email, profile = {} }: PasswordOwner): string[] {
  const { name, given_name, family_name, nickname } = profile
  return [username, email, name, given_name, family_name, nickname].filter((word) => typeof word === 'string')
}

/** Each name as a whole, without separators, and in its parts. */
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
