import type { Account, AccountStore } from '../store/account.ts'
import { HashingBusyError, isPossiblePassword, normalizePassword, type PasswordHasher } from './password.ts'

export type SignIn =
  | { outcome: 'accepted'; account: Account }
  /** Unknown login, wrong password and disabled person must look the same; whose login it was is for the record. */
  | { outcome: 'rejected'; sub: string | undefined }
  | { outcome: 'busy' }

/** Whether these are the credentials of an active person. */
export function createSignIn({ accounts, hasher }: { accounts: AccountStore; hasher: PasswordHasher }) {
  return async (login: string, password: string): Promise<SignIn> => {
    if (!isPossiblePassword(password)) return { outcome: 'rejected', sub: undefined }
    try {
      const found = await accounts.findByLogin(login)
      const passwordHash = found?.passwordHash
      const matches = await hasher.verify(passwordHash, password)
      if (!found || passwordHash === undefined || !matches || found.account.status !== 'active')
        return { outcome: 'rejected', sub: found?.account.sub }

      const { sub } = found.account
      if (hasher.isOutdated(passwordHash)) {
        await accounts.upgradePasswordHash(sub, passwordHash, await hasher.hash(normalizePassword(password)))
      }
      return { outcome: 'accepted', account: found.account }
    } catch (error) {
      if (error instanceof HashingBusyError) return { outcome: 'busy' }
      throw error
    }
  }
}

export type VerifySignIn = ReturnType<typeof createSignIn>
