/*
 * Room accounts/: people and their credentials. This file verifies a password sign-in; beside it are password hashing and
 * rules, registration, password reset, e-mail changes, their mailed links, remember-me, and the access to an account.
 */
import type { Log } from '../log.ts'
import type { Pause } from '../rate-limiting/keyed-queue.ts'
import { widestNetworkOf } from '../rate-limiting/network.ts'
import {
  type DeviceCookieEntry,
  deviceOf,
  type Refusal,
  type SignInAttempt,
  type SignInRateLimit,
  type SignInVerdict,
} from '../rate-limiting/sign-in-rate-limit.ts'
import { type Account, type AccountStore, loginKey } from '../store/account/account.ts'
import { isPossiblePassword, normalizePassword, type PasswordHasher, type PasswordQueue } from './password.ts'

/** More attempts at once than any person makes: with one name, or from all browsers of an account … */
const MOST_WAITING_FOR_ACCOUNT = 50
/** … and with one device cookie. */
const MOST_WAITING_FOR_DEVICE_COOKIE = 10
/** A corrected typing error or a second click waits this long instead of being refused. */
const LONGEST_PAUSE_SECONDS = 1

type Credentials = Readonly<{
  login: string
  password: string
  address: string
  /** The entries of the browser's device cookie, one per account. */
  deviceCookie: readonly DeviceCookieEntry[]
  /** Whether the client disconnected: then no password needs to be checked. */
  isGone?: () => boolean
  /** The page was answered before: counts the attempt without checking the password. */
  isSpent?: boolean
}>

export type SignIn =
  /** The account as read together with the matching password hash: its access epoch is that of the proof. */
  | { outcome: 'accepted'; account: Account }
  /** Looks the same for an unknown login, a wrong password and a disabled account. `sub` is for the audit log only. */
  | { outcome: 'rejected'; sub: string | undefined; refusal?: Refusal }
  | { outcome: 'throttled'; sub: string | undefined; retryAfterSeconds: number; refusal?: Refusal }
  | { outcome: 'busy'; sub: string | undefined }

type Needs = {
  accounts: AccountStore
  queue: PasswordQueue
  hasher: PasswordHasher
  rateLimit: SignInRateLimit
  log: Pick<Log, 'warn'>
}

type Found = NonNullable<Awaited<ReturnType<AccountStore['findByLogin']>>>
type Counted = Readonly<{ found: Found | undefined; attempt: SignInAttempt; verdict: SignInVerdict }>

const BUSY: SignIn = { outcome: 'busy', sub: undefined }

/**
 * Verifies the credentials of an active account: queue, count the attempt, check the password. A counted attempt is
 * always checked, so disconnecting frees no attempts.
 */
export function createSignIn({ accounts, queue, hasher, rateLimit, log }: Needs) {
  return async (credentials: Credentials): Promise<SignIn> => {
    if (!isPossiblePassword(credentials.password)) return { outcome: 'rejected', sub: undefined }
    const { address, isGone = () => false } = credentials
    const network = widestNetworkOf(address)
    const device = await findDevice(credentials, network)
    if (device === 'busy') return BUSY
    const place = device ? placeOfDevice(device) : placeOfLogin(credentials.login)
    const queued = await queue.run({ ...place, network, isGone }, (pause) => signIn(credentials, pause))
    switch (queued.outcome) {
      case 'done':
        return queued.result
      case 'full':
        return place.keys.some(({ key }) => key === queued.key)
          ? { outcome: 'throttled', sub: undefined, retryAfterSeconds: LONGEST_PAUSE_SECONDS }
          : BUSY
      case 'expired':
        return BUSY
    }
  }

  /** Finds the device cookie's entry of this account: with it, the request has priority. */
  async function findDevice({ login, deviceCookie, isGone = () => false }: Credentials, network: string) {
    if (deviceCookie.length === 0) return undefined
    const path = ['look-up', deviceCookie[0]?.id ?? '']
    const queued = await queue.run({ network, isKnown: true, path, isGone }, () =>
      accounts.findByLogin(login),
    )
    if (queued.outcome !== 'done') return 'busy'
    return queued.result && deviceOf(queued.result.account, deviceCookie)
  }

  async function signIn(credentials: Credentials, pause: Pause): Promise<SignIn> {
    let counted = await findAndCount(credentials)
    const pauseSeconds = pauseBefore(counted.verdict)
    if (pauseSeconds > 0) {
      if (!(await pause(pauseSeconds * 1000))) return BUSY
      counted = await findAndCount(credentials)
    }
    const { found, attempt, verdict } = counted
    const sub = found?.account.sub
    if (verdict.outcome === 'throttled') return { ...verdict, sub }
    if (credentials.isSpent) return { outcome: 'rejected', sub }
    const matches = await hasher.verify(found?.passwordHash, credentials.password)
    // Answered after the hash: a faster answer would reveal the lock.
    if (verdict.outcome === 'locked') return { outcome: 'rejected', sub, refusal: verdict.refusal }
    if (!found || !matches || found.account.status !== 'active') return { outcome: 'rejected', sub }
    await rateLimit.succeeded(attempt)
    await upgradeHash(found, credentials.password)
    return { outcome: 'accepted', account: found.account }
  }

  /** Counts an attempt. When the device cookie's limit is used up, the browser counts as one without a cookie. */
  async function findAndCount({ login, address, deviceCookie }: Credentials): Promise<Counted> {
    const found = await accounts.findByLogin(login)
    const account = found?.account
    const unknown: SignInAttempt = { login, account, address, device: undefined }
    const attempt = { ...unknown, device: account && deviceOf(account, deviceCookie) }
    const verdict = await rateLimit.count(attempt)
    if (verdict.outcome !== 'locked' || !attempt.device) return { found, attempt, verdict }
    return { found, attempt: unknown, verdict: await rateLimit.count(unknown) }
  }

  /** A failure is logged only: the password was right, and the next sign-in tries again. */
  async function upgradeHash({ account: { sub }, passwordHash }: Found, password: string): Promise<void> {
    if (passwordHash === undefined || !hasher.isOutdated(passwordHash)) return
    try {
      await accounts.upgradePasswordHash(sub, passwordHash, await hasher.hash(normalizePassword(password)))
    } catch (error) {
      log.warn({ event: 'password.not_upgraded', account: sub, error })
    }
  }
}

/** Keyed by name: keyed by account, the wait would reveal which address belongs to which username. */
function placeOfLogin(login: string) {
  const name = loginKey(login)
  return {
    path: ['name', name],
    keys: [{ key: `name ${name}`, atOnce: 1, mostWaiting: MOST_WAITING_FOR_ACCOUNT }],
  }
}

/** Keyed by device cookie first: while its attempt pauses, the account's other browsers continue. */
function placeOfDevice({ id, sub }: DeviceCookieEntry) {
  return {
    isKnown: true,
    path: [sub, id],
    keys: [
      { key: `device cookie ${id}`, atOnce: 1, mostWaiting: MOST_WAITING_FOR_DEVICE_COOKIE },
      { key: `account ${sub}`, atOnce: 1, mostWaiting: MOST_WAITING_FOR_ACCOUNT },
    ],
  }
}

/** An attempt that came slightly too soon is repeated once. */
function pauseBefore(verdict: SignInVerdict): number {
  if (verdict.outcome !== 'throttled' || verdict.refusal.reason !== 'too soon') return 0
  return verdict.retryAfterSeconds <= LONGEST_PAUSE_SECONDS ? verdict.retryAfterSeconds : 0
}

export type VerifySignIn = ReturnType<typeof createSignIn>
