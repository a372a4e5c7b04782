import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { AccountAccess } from '../accounts/access.ts'
import type { PasswordHasher } from '../accounts/password.ts'
import { type PasswordOwner, PasswordRuleError, type PasswordRules } from '../accounts/password-rules.ts'
import { newEvent } from '../audit/event.ts'
import { randomSecret } from '../crypto/vault.ts'
import type { SignInRateLimit } from '../rate-limiting/sign-in-rate-limit.ts'
import { type Account, type AccountStore, loginKey } from '../store/account/account.ts'
import type { RevokedCount } from '../store/revocation/revocation.ts'
import type { PasswordFault } from '../ui/view-models.ts'
import { type AccessDocument, accessPart, describeAccess, revokeAccess } from './access.ts'
import { AdminError, parseInput, withoutUndefined } from './input.ts'

const username = z
  .string()
  .trim()
  .min(1, 'is missing')
  .max(128, 'has at most 128 characters')
  .regex(/^[\p{L}\p{M}\p{N}._@+-]+$/u, 'holds letters, digits and . _ @ + - only')

const newPerson = z
  .strictObject({
    username,
    email: z.email('is not an e-mail address').max(254).optional(),
    email_verified: z.boolean().default(false),
    name: z.string().trim().min(1).max(200).optional(),
    given_name: z.string().trim().min(1).max(200).optional(),
    family_name: z.string().trim().min(1).max(200).optional(),
    locale: z
      .string()
      .regex(/^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$/, 'is a language tag such as de-CH')
      .optional(),
    zoneinfo: z.string().max(64).optional(),
    password: z.string().optional(),
  })
  .refine(
    ({ username, email }) =>
      !username.includes('@') || (email !== undefined && loginKey(username) === loginKey(email)),
    {
      message:
        'username: with an @ it must be the person’s own e-mail address, since people sign in with either',
    },
  )

const BY_OPERATOR = { by: 'operator' }

const byName = z.strictObject({ username: z.string().min(1).max(254) })
const signOutInput = byName.extend(accessPart.shape)
const withPassword = z.strictObject({ username: z.string().min(1).max(254), password: z.string() })

export type UserDocument = ReturnType<typeof toDocument>

type Needs = {
  accounts: AccountStore
  access: AccountAccess
  passwords: { hasher: PasswordHasher; rules: PasswordRules }
  signInRateLimit: SignInRateLimit
}

export function createUsersAdmin({ accounts, access, passwords, signInRateLimit }: Needs) {
  async function getOrThrow(login: string): Promise<Account> {
    const found = await accounts.findByLogin(login)
    if (!found) throw new AdminError(`There is no person called ${login}.`)
    return found.account
  }

  async function hashNew(password: string, owner: PasswordOwner): Promise<string> {
    try {
      return await passwords.hasher.hash(await passwords.rules.parse(password, owner))
    } catch (error) {
      if (error instanceof PasswordRuleError) throw new AdminError(describePasswordFault(error.fault))
      throw error
    }
  }

  return {
    /** Generates a password if none is given. Only this answer contains it. */
    async create(input: unknown): Promise<UserDocument & { password?: string }> {
      const { username, email, email_verified, password, ...profile } = parseInput(newPerson, input)
      // A login identifies one person.
      if (email !== undefined && (await accounts.findByLogin(email)))
        throw new AdminError(`The e-mail address ${email} belongs to another account.`)
      const generated = password === undefined ? randomSecret() : undefined
      const account = {
        sub: randomUUID(),
        username,
        email,
        emailVerified: email_verified,
        profile,
        passwordHash: await hashNew(password ?? generated ?? '', { username, email, profile }),
      }
      const created = newEvent('account.created', { accountSub: account.sub, detail: BY_OPERATOR })
      const stored = await accounts.insert(account, created)
      if (stored === 'taken') throw new AdminError(`The username ${username} is taken.`)
      if (stored === 'client')
        throw new AdminError(`The identifier ${account.sub} is a client_id. Try again.`)
      return {
        ...toDocument(await getOrThrow(username)),
        ...(generated === undefined ? {} : { password: generated }),
      }
    },

    async list(): Promise<UserDocument[]> {
      return (await accounts.list()).map(toDocument)
    },

    async show(input: unknown): Promise<UserDocument & AccessDocument> {
      const account = await getOrThrow(parseInput(byName, input).username)
      return { ...toDocument(account), ...(await describeAccess(access, account.sub)) }
    },

    /** Also revokes the person's sessions and grants, and unlocks sign-in: the old password may be known to an attacker. */
    async setPassword(input: unknown): Promise<UserDocument> {
      const { username, password } = parseInput(withPassword, input)
      const account = await getOrThrow(username)
      await accounts.setPassword(account.sub, await hashNew(password, account), {
        cause: { reason: 'password_changed', by: 'operator' },
        event: newEvent('account.password_changed', { accountSub: account.sub, detail: BY_OPERATOR }),
      })
      await signInRateLimit.unlock(account)
      return toDocument(await getOrThrow(username))
    },

    /** Revokes sessions, grants and tokens in the same transaction. */
    async disable(input: unknown): Promise<UserDocument> {
      return await setStatus(input, 'disabled')
    },

    async enable(input: unknown): Promise<UserDocument> {
      return await setStatus(input, 'active')
    },

    async delete(input: unknown): Promise<UserDocument> {
      const account = await getOrThrow(parseInput(byName, input).username)
      const about = { accountSub: account.sub, detail: { ...BY_OPERATOR, username: account.username } }
      await accounts.delete(account.sub, newEvent('account.deleted', about))
      return toDocument(account)
    },

    /** Revokes everything, or the named item only. */
    async signOut(input: unknown): Promise<{ username: string } & RevokedCount> {
      const { username, ...part } = parseInput(signOutInput, input)
      const account = await getOrThrow(username)
      if (Object.keys(part).length > 0)
        return { username: account.username, ...(await revokeAccess(access, account.sub, part)) }
      const cause = { reason: 'signed_out_everywhere', by: 'operator' } as const
      return { username: account.username, ...(await accounts.signOut(account.sub, cause)) }
    },
  }

  async function setStatus(input: unknown, status: Account['status']): Promise<UserDocument> {
    const account = await getOrThrow(parseInput(byName, input).username)
    const type = status === 'disabled' ? 'account.disabled' : 'account.enabled'
    await accounts.setStatus(
      account.sub,
      status,
      newEvent(type, { accountSub: account.sub, detail: BY_OPERATOR }),
    )
    if (status === 'active') await signInRateLimit.unlock(account)
    return { ...toDocument(account), status }
  }
}

function toDocument(account: Account) {
  return withoutUndefined({
    sub: account.sub,
    username: account.username,
    email: account.email,
    email_verified: account.emailVerified,
    status: account.status,
    profile: account.profile,
    created_at: account.createdAt.toISOString(),
  })
}

/** Says to an operator why a password was rejected. */
function describePasswordFault(fault: PasswordFault): string {
  switch (fault.code) {
    case 'too-short':
      return `A password has at least ${fault.least} characters; this one has ${fault.length}.`
    case 'too-long':
      return `A password has at most ${fault.most} characters; this one has ${fault.length}.`
    case 'unprintable':
      return 'A password is one line of text without control characters.'
    case 'common':
      return 'This password is made of ones that many people use, so it is easy to guess. Take several words that have nothing to do with each other.'
    case 'context':
      return 'This password is little more than a name, an address or this place’s own name, so it is easy to guess.'
    case 'repeated':
      return 'This password repeats the same few characters, so it is easy to guess.'
    case 'sequence':
      return 'This password follows the alphabet, the numbers or the keyboard, so it is easy to guess.'
    case 'date':
      return 'This password is little more than a date, so it is easy to guess.'
  }
}
