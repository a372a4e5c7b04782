import type { FindAccount } from 'oidc-provider'
import type { Account, AccountStore } from '../store/account/account.ts'
import { type Clock, toEpochSeconds } from '../time.ts'
import { withUnavailable } from './engine/errors.ts'
import { currentRequest } from './engine/request-context.ts'

/** The standard claims that a person's profile may hold (OpenID Connect Core §5.1); the rest have columns. */
export const PROFILE_CLAIMS = [
  'name',
  'given_name',
  'family_name',
  'middle_name',
  'nickname',
  'profile',
  'picture',
  'website',
  'gender',
  'birthdate',
  'zoneinfo',
  'locale',
] as const

/** The claims that a scope requests (OpenID Connect Core §5.4). */
export const CLAIMS_BY_SCOPE = {
  // Every ID token has the time and method of authentication, and its own time (see createFindAccount).
  openid: ['sub', 'auth_time', 'acr', 'amr', 'iat'],
  profile: [...PROFILE_CLAIMS, 'preferred_username', 'updated_at'],
  email: ['email', 'email_verified'],
}

/** Finds the account of a request. A disabled or deleted account is not found: no code, no token, no userinfo. */
export function createFindAccount(accounts: AccountStore, now: Clock): FindAccount {
  return withUnavailable(async (_ctx, sub: string) => {
    const account = currentRequest().accounts.get(sub) ?? (await accounts.find(sub))
    if (account?.status !== 'active') return undefined
    return {
      accountId: account.sub,
      accessEpoch: account.accessEpoch,
      // The engine would set `iat` by this machine's clock.
      claims: (use) => ({
        ...toClaims(account),
        ...(use === 'id_token' ? { iat: toEpochSeconds(now()) } : {}),
      }),
    }
  })
}

/** All claims of an account; the engine releases those that scope and consent allow. */
function toClaims({ sub, username, email, emailVerified, profile, updatedAt }: Account) {
  return {
    ...profile,
    sub,
    preferred_username: username,
    updated_at: toEpochSeconds(updatedAt),
    ...(email === undefined ? {} : { email, email_verified: emailVerified }),
  }
}
