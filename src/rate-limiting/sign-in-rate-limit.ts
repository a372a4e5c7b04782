import type { EventType } from '../audit/event-type.ts'
import type { AccountAtEpoch } from '../store/account/access-epoch.ts'
import { type Account, loginKey } from '../store/account/account.ts'
import { LIMITS } from './limits.ts'
import { byNetworks, type RateLimiter, type RateLimitKey, type Verdict } from './rate-limiter.ts'

/** The device cookie's entry for one account: it signed in with this browser under this access epoch. */
export type DeviceCookieEntry = Readonly<{ sub: string; accessEpoch: number; id: string }>

/** Finds the entry of an account. @returns undefined when the account's access epoch was raised since. */
export function deviceOf(
  { sub, accessEpoch }: AccountAtEpoch,
  entries: readonly DeviceCookieEntry[],
): DeviceCookieEntry | undefined {
  return entries.find((entry) => entry.sub === sub && entry.accessEpoch === accessEpoch)
}

export type SignInAttempt = Readonly<{
  /** As entered, in any spelling. */
  login: string
  /** The account with that login; undefined when there is none. */
  account: Account | undefined
  address: string
  /** The device cookie's entry for that account and its current access epoch. */
  device: DeviceCookieEntry | undefined
}>

export type SignInVerdict =
  | { outcome: 'allowed' }
  | { outcome: 'throttled'; retryAfterSeconds: number; refusal: Refusal }
  /** Used up for the day. Answered like a wrong password, so that it does not reveal accounts. */
  | { outcome: 'locked'; refusal: Refusal }

export type Refusal = Extract<Verdict, { outcome: 'refused' }>

export type SignInRateLimit = ReturnType<typeof createSignInRateLimit>

/**
 * The rate limits of password sign-in. Names are counted whether or not they exist, in one canonical spelling. Sign-ins
 * with a device cookie have separate counters, so that attackers, also on the same network, cannot lock a person out
 * (OWASP ASVS 6.1.1). These counters are per account, over all its device cookies.
 */
export function createSignInRateLimit({ rateLimiter }: { rateLimiter: RateLimiter }) {
  return {
    async count(attempt: SignInAttempt): Promise<SignInVerdict> {
      const verdict = await rateLimiter.count(...stagesOf(attempt))
      if (verdict.outcome === 'allowed') return verdict
      return verdict.reason === 'used up' && LOCKS.has(verdict.by)
        ? { outcome: 'locked', refusal: verdict }
        : { outcome: 'throttled', retryAfterSeconds: verdict.retryAfterSeconds, refusal: verdict }
    },

    /**
     * The password was right: gives this attempt back to the limits of wrong passwords. Earlier wrong ones and the
     * check itself stay counted.
     */
    succeeded: (attempt: SignInAttempt): Promise<void> =>
      rateLimiter.settle({
        giveBack: stagesOf(attempt)
          .flat()
          .filter(({ limit }) => !CHECKS.has(limit)),
      }),

    /** Ends the lock-out of an account after a proof by other means, or by an operator. */
    unlock: ({ sub, username, email }: Account): Promise<void> => {
      const names = [username, email ?? []].flat().map(loginKey)
      return rateLimiter.settle({
        forget: [
          ...names.flatMap((name) => [
            { limit: LIMITS.signInByName, of: name },
            { limit: LIMITS.passwordsByAccount, of: byName(name) },
          ]),
          { limit: LIMITS.signInByAccount, of: sub },
          { limit: LIMITS.signInByKnownAccount, of: sub },
          { limit: LIMITS.passwordsByAccount, of: byDevice(sub) },
        ],
      })
    },
  }
}

/** Limits that also count right passwords. */
const CHECKS = new Set<unknown>([LIMITS.passwordsByNetwork, LIMITS.passwordsByAccount])

const LOCKS = new Set<unknown>([
  LIMITS.signInByName,
  LIMITS.signInByAccount,
  LIMITS.signInByDeviceCookie,
  LIMITS.signInByKnownAccount,
])

export function eventTypeOf({ by, reason }: Refusal): EventType {
  if (by === LIMITS.signInByNetwork || by === LIMITS.passwordsByNetwork) return 'requests.throttled'
  return reason === 'used up' && LOCKS.has(by) ? 'sign_in.locked' : 'sign_in.throttled'
}

/**
 * The stages of counting: a refused network uses up nothing of a name, and a name that must wait uses up nothing of the
 * account.
 */
function stagesOf(attempt: SignInAttempt): RateLimitKey[][] {
  return attempt.device ? stagesWithDevice(attempt, attempt.device) : stagesWithoutDevice(attempt)
}

function stagesWithDevice({ address }: SignInAttempt, { sub, id }: DeviceCookieEntry): RateLimitKey[][] {
  return [
    ...byNetworks(
      address,
      { limit: LIMITS.signInByNetwork, of: 'device' },
      { limit: LIMITS.passwordsByNetwork, of: 'device' },
      { limit: LIMITS.signInByPair, of: byDevice(sub) },
    ),
    // Stops a stolen cookie before it uses up the limit of the person's other browsers.
    [{ limit: LIMITS.signInByDeviceCookie, of: id }],
    [
      { limit: LIMITS.signInByKnownAccount, of: sub },
      { limit: LIMITS.passwordsByAccount, of: byDevice(sub) },
    ],
  ]
}

function stagesWithoutDevice({ login, account, address }: SignInAttempt): RateLimitKey[][] {
  const name = loginKey(login)
  return [
    ...byNetworks(
      address,
      { limit: LIMITS.signInByNetwork },
      { limit: LIMITS.passwordsByNetwork },
      { limit: LIMITS.signInByPair, of: byName(name) },
    ),
    [{ limit: LIMITS.signInByName, of: name }],
    [
      // Unknown names are counted in the same number of rows, so that timing does not reveal accounts.
      { limit: LIMITS.signInByAccount, of: account?.sub ?? `unknown ${name}` },
      // By name, because this limit is visible: one count for a username and its address would reveal that they belong
      // together.
      { limit: LIMITS.passwordsByAccount, of: byName(name) },
    ],
  ]
}

const byName = (name: string): string => `name ${name}`
const byDevice = (sub: string): string => `device ${sub}`
