import { setImmediate as nextTurnOfTheLoop, setTimeout as pause } from 'node:timers/promises'
import pLimit from 'p-limit'
import type { Log } from '../log.ts'
import { createKeyedQueue } from '../rate-limiting/keyed-queue.ts'
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
import { HashingBusyError, isPossiblePassword, normalizePassword, type PasswordHasher } from './password.ts'

/** More tries of one name at once than any person makes. */
const WAITING_FOR_ONE_NAME = 50
const WAITING_WITH_ONE_DEVICE_COOKIE = 10
/** Of all names. A queue for hashing comes behind this one. */
const WAITING_AT_MOST = 64
const WAIT_AT_MOST_MILLISECONDS = 5_000
/** However many sign in, the others who need the database find connections free. */
const AT_THE_DATABASE = 4
/** Sign-ins of one network may hold half of the database connections; the other half stays free for other networks. */
const AT_THE_DATABASE_OF_ONE_NETWORK = 2
/** Whoever corrects a slip at once, or presses the button twice, waits for this long instead of being sent away. */
const HELD_SECONDS = 1

export type Credentials = Readonly<{
  login: string
  password: string
  address: string
  /** The entries of the browser's device cookie, one per account. */
  deviceCookie: readonly DeviceCookieEntry[]
  /** Whether whoever signs in hung up: then no password needs to be checked. */
  isGone?: () => boolean
  /** The page was answered before: counts the attempt without checking the password. */
  isSpent?: boolean
}>

export type SignIn =
  /** The account as read together with the matching password hash: its access epoch is that of the proof. */
  | { outcome: 'accepted'; account: Account }
  /**
   * Unknown login, wrong password, disabled and locked person must look the same; whose login it was, and which limit
   * was reached, is for the record.
   */
  | { outcome: 'rejected'; sub: string | undefined; refusal?: Refusal }
  | { outcome: 'throttled'; sub: string | undefined; retryAfterSeconds: number; refusal?: Refusal }
  | { outcome: 'busy'; sub: string | undefined }

type Needs = {
  accounts: AccountStore
  hasher: PasswordHasher
  limits: SignInRateLimit
  log: Pick<Log, 'warn'>
  waitAtMostMilliseconds?: number
}

type Found = NonNullable<Awaited<ReturnType<AccountStore['findByLogin']>>>

/**
 * Whether these are the credentials of an active person. The attempt is counted before the password is looked at, and
 * what one name may see is the same for every name.
 */
export function createSignIn({
  accounts,
  hasher,
  limits,
  log,
  waitAtMostMilliseconds = WAIT_AT_MOST_MILLISECONDS,
}: Needs) {
  // Keyed queues. Requests without a device cookie are keyed by name: keyed by account, the wait would reveal which
  // address belongs to which username. Requests with a device cookie are keyed by account.
  const strangers = createKeyedQueue({ waitingAtMost: WAITING_FOR_ONE_NAME })
  const accountsOfDevices = createKeyedQueue({ waitingAtMost: WAITING_FOR_ONE_NAME })
  const devices = createKeyedQueue({ waitingAtMost: WAITING_WITH_ONE_DEVICE_COOKIE })
  const connections = pLimit(AT_THE_DATABASE)
  const networks = createKeyedQueue({
    atOnce: AT_THE_DATABASE_OF_ONE_NETWORK,
    waitingAtMost: Number.POSITIVE_INFINITY,
  })
  // Many requests time out together; answering them one by one keeps the event loop free for others.
  const leave = pLimit(1)

  return async (credentials: Credentials): Promise<SignIn> => {
    const { login, deviceCookie, address } = credentials
    if (!isPossiblePassword(credentials.password)) return { outcome: 'rejected', sub: undefined }
    const network = widestNetworkOf(address)
    const mayBeKnown = deviceCookie.length > 0
    // Refuse before reading or counting: a request that will not be served costs nothing.
    if (mayBeKnown ? hasher.isFull({ isKnown: true, network }) : isCrowded(network))
      return { outcome: 'busy', sub: undefined }
    const cameAt = performance.now()
    const isOver = () => credentials.isGone?.() || performance.now() - cameAt > waitAtMostMilliseconds
    // Looks the account up first: a person with a device cookie does not queue behind strangers who try their name.
    const found = mayBeKnown ? await find(login, network) : undefined
    const device = found && deviceOf(found.account, deviceCookie)
    if (mayBeKnown && !device && isCrowded(network)) return { outcome: 'busy', sub: undefined }
    const signIn = await takeTurn(login, device, async () => {
      if (isOver()) return await leaveLine()
      return await verify(credentials, (mayBeKnown ? found : await find(login, network)) ?? {}, device)
    })
    return signIn ?? { outcome: 'throttled', sub: undefined, retryAfterSeconds: HELD_SECONDS }
  }

  /**
   * Requests with one device cookie run one at a time, so at most one of them is ahead of the account's other browsers,
   * and those do not wait while it is held.
   */
  async function takeTurn(
    login: string,
    device: DeviceCookieEntry | undefined,
    work: () => Promise<SignIn>,
  ): Promise<SignIn | undefined> {
    if (!device) return await strangers.take(loginKey(login), () => hold(work))
    return await devices.take(device.id, () => hold(() => accountsOfDevices.take(device.sub, work)))
  }

  /** Retries once when the attempt came slightly too soon. */
  async function hold<Result extends SignIn | undefined>(work: () => Promise<Result>): Promise<Result> {
    const signIn = await work()
    const isHeld =
      signIn?.outcome === 'throttled' &&
      signIn.refusal?.reason === 'too soon' &&
      signIn.retryAfterSeconds <= HELD_SECONDS
    if (!isHeld) return signIn
    await pause(signIn.retryAfterSeconds * 1000)
    return await work()
  }

  function find(login: string, network: string): Promise<Found | undefined> {
    return atTheDatabase(network, () => accounts.findByLogin(login))
  }

  async function atTheDatabase<Result>(network: string, work: () => Promise<Result>): Promise<Result> {
    const done = await networks.take(network, async () => ({ result: await connections(work) }))
    if (!done) throw new Error('a queue without a limit was full')
    return done.result
  }

  /**
   * Whether a request without a device cookie would wait too long: in the queues in total, or for half of them in one
   * network.
   */
  function isCrowded(network: string): boolean {
    const waiting = strangers.countWaiting() + networks.countWaiting() + connections.pendingCount
    return (
      hasher.isFull({ network }) ||
      waiting >= WAITING_AT_MOST ||
      networks.countWaiting(network) >= WAITING_AT_MOST / 2
    )
  }

  async function leaveLine(): Promise<SignIn> {
    await leave(() => nextTurnOfTheLoop())
    return { outcome: 'busy', sub: undefined }
  }

  async function verify(
    { login, password, address, isGone, isSpent }: Credentials,
    { account, passwordHash }: Partial<Found>,
    device: DeviceCookieEntry | undefined,
  ): Promise<SignIn> {
    const sub = account?.sub
    const network = widestNetworkOf(address)
    const asker = { isGone, isKnown: device !== undefined, network }
    if (hasher.isFull(asker)) return { outcome: 'busy', sub }
    const { attempt, verdict } = await count({ login, account, address, device })
    if (verdict.outcome === 'throttled') {
      const { retryAfterSeconds, refusal } = verdict
      return { outcome: 'throttled', sub, retryAfterSeconds, refusal }
    }
    if (isSpent) return { outcome: 'rejected', sub }
    try {
      const matches = await hasher.verify(passwordHash, password, asker)
      if (verdict.outcome === 'locked') return { outcome: 'rejected', sub, refusal: verdict.refusal }
      if (!account || passwordHash === undefined || !matches || account.status !== 'active')
        return { outcome: 'rejected', sub }
      const current = await findStillRight(attempt, { account, passwordHash, password })
      if (!current) return { outcome: 'rejected', sub }
      await limits.succeeded(attempt)
      if (hasher.isOutdated(passwordHash)) await upgrade(account.sub, passwordHash, password)
      return { outcome: 'accepted', account: current }
    } catch (error) {
      if (!(error instanceof HashingBusyError)) throw error
      // A refusing limit counted nothing; giving back to it would allow another guess.
      if (verdict.outcome === 'allowed') await atTheDatabase(network, () => limits.notLookedAt(attempt))
      return { outcome: 'busy', sub }
    }
  }

  /** Counts an attempt. When the device cookie's limit is used up, the browser counts as one without a cookie. */
  async function count(attempt: SignInAttempt): Promise<{ attempt: SignInAttempt; verdict: SignInVerdict }> {
    const network = widestNetworkOf(attempt.address)
    const verdict = await atTheDatabase(network, () => limits.count(attempt))
    if (verdict.outcome !== 'locked' || !attempt.device) return { attempt, verdict }
    const stranger = { ...attempt, device: undefined }
    return { attempt: stranger, verdict: await atTheDatabase(network, () => limits.count(stranger)) }
  }

  /**
   * Reads the account again, because waiting for a turn takes seconds: a password that was replaced meanwhile is
   * refused; the same password under a new hash still matches. Later changes are decided by the access epoch.
   */
  async function findStillRight(
    { login, address }: Pick<Credentials, 'login' | 'address'>,
    verified: { account: Account; passwordHash: string; password: string },
  ): Promise<Account | undefined> {
    const current = await find(login, widestNetworkOf(address))
    if (current?.account.sub !== verified.account.sub || current.account.status !== 'active') return undefined
    const isRight =
      current.passwordHash === verified.passwordHash ||
      (await hasher.verify(current.passwordHash, verified.password))
    return isRight ? current.account : undefined
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
}

export type VerifySignIn = ReturnType<typeof createSignIn>
