import { setTimeout as pause } from 'node:timers/promises'
import pLimit from 'p-limit'
import type { Log } from '../log.ts'
import { type Account, type AccountStore, loginKey } from '../store/account.ts'
import { HashingBusyError, isPossiblePassword, normalizePassword, type PasswordHasher } from './password.ts'
import type { Refusal, SignInAttempt, SignInLimits, SignInVerdict } from './sign-in-limits.ts'
import { createTurns } from './turns.ts'

/** More tries of one name at once than any person makes. */
const WAITING_FOR_ONE_NAME = 50
/** However many sign in, the others who need the database find connections free. */
const AT_THE_DATABASE = 4
/** Whoever corrects a slip at once, or presses the button twice, waits for this long instead of being sent away. */
const HELD_SECONDS = 1

export type Credentials = Readonly<{
  login: string
  password: string
  address: string
  /** What the browser says of itself: who signed in with it before. */
  browser: Readonly<{ id: string; accountSubs: readonly string[] }> | undefined
  /** Whether whoever signs in hung up: then no password needs to be checked. */
  isGone?: () => boolean
}>

export type SignIn =
  | { outcome: 'accepted'; account: Account }
  /**
   * Unknown login, wrong password, disabled and locked person must look the same; whose login it was, and which limit
   * was reached, is for the record.
   */
  | { outcome: 'rejected'; sub: string | undefined; refusal?: Refusal }
  | { outcome: 'throttled'; sub: string | undefined; retryAfterSeconds: number; refusal?: Refusal }
  | { outcome: 'busy'; sub: string | undefined }

type Needs = { accounts: AccountStore; hasher: PasswordHasher; limits: SignInLimits; log: Pick<Log, 'warn'> }

/**
 * Whether these are the credentials of an active person. The attempt is counted before the password is looked at, and
 * what one name may see is the same for every name.
 */
export function createSignIn({ accounts, hasher, limits, log }: Needs) {
  const takeTurn = createTurns({ waitingAtMost: WAITING_FOR_ONE_NAME })
  const atTheDatabase = pLimit(AT_THE_DATABASE)

  return async (credentials: Credentials): Promise<SignIn> => {
    if (!isPossiblePassword(credentials.password)) return { outcome: 'rejected', sub: undefined }
    // Before anything is read or counted for it: what will not be looked at costs nothing.
    if (hasher.isFull()) return { outcome: 'busy', sub: undefined }
    const { login, address, browser } = credentials
    const { account, passwordHash } = (await atTheDatabase(() => accounts.findByLogin(login))) ?? {}
    const isKnownHere = account && browser?.accountSubs.includes(account.sub)
    const attempt = { login, account, address, knownBrowserId: isKnownHere ? browser?.id : undefined }
    // Strangers who queue for a name do not stand in the way of its person.
    const line = attempt.knownBrowserId ?? loginKey(login)
    const signIn = await takeTurn(line, () => verify(attempt, passwordHash, credentials))
    return signIn ?? { outcome: 'throttled', sub: account?.sub, retryAfterSeconds: HELD_SECONDS }
  }

  async function verify(
    attempt: SignInAttempt,
    passwordHash: string | undefined,
    { password, isGone }: Credentials,
  ): Promise<SignIn> {
    const { account } = attempt
    const sub = account?.sub
    if (hasher.isFull()) return { outcome: 'busy', sub }
    const verdict = await count(attempt)
    if (verdict.outcome === 'throttled') {
      const { retryAfterSeconds, refusal } = verdict
      return { outcome: 'throttled', sub, retryAfterSeconds, refusal }
    }
    try {
      const matches = await hasher.verify(passwordHash, password, isGone)
      if (verdict.outcome === 'locked') return { outcome: 'rejected', sub, refusal: verdict.refusal }
      if (!account || passwordHash === undefined || !matches || account.status !== 'active')
        return { outcome: 'rejected', sub }
      await limits.succeeded(attempt)
      if (hasher.isOutdated(passwordHash)) await upgrade(account.sub, passwordHash, password)
      return { outcome: 'accepted', account }
    } catch (error) {
      if (!(error instanceof HashingBusyError)) throw error
      await atTheDatabase(() => limits.notLookedAt(attempt))
      return { outcome: 'busy', sub }
    }
  }

  /** The password was right, whatever becomes of this: the next sign-in tries again. */
  async function upgrade(sub: string, outdated: string, password: string): Promise<void> {
    try {
      const upgraded = await hasher.hash(normalizePassword(password))
      await accounts.upgradePasswordHash(sub, outdated, upgraded)
    } catch (error) {
      log.warn({ event: 'password.not_upgraded', account: sub, error })
    }
  }

  async function count(attempt: SignInAttempt): Promise<SignInVerdict> {
    const verdict = await atTheDatabase(() => limits.count(attempt))
    const isHeld =
      verdict.outcome === 'throttled' &&
      verdict.refusal.reason === 'too soon' &&
      verdict.retryAfterSeconds <= HELD_SECONDS
    if (!isHeld) return verdict
    await pause(verdict.retryAfterSeconds * 1000)
    return await atTheDatabase(() => limits.count(attempt))
  }
}

export type VerifySignIn = ReturnType<typeof createSignIn>
