import { type Account, loginKey } from '../store/account.ts'
import type { EventType } from '../store/event-type.ts'
import type { DeviceCookieEntry } from './device-cookie.ts'
import { LIMITS } from './limits.ts'
import { byNetworks } from './network-limits.ts'
import type { Counted, Throttle, Verdict } from './throttle.ts'

/** Somebody who tries to sign in. */
export type SignInAttempt = Readonly<{
  /** What was typed, in whatever spelling. */
  login: string
  /** Whose login that is, if anybody's. */
  account: Account | undefined
  address: string
  /** What the device cookie says of that account, under its present access epoch. */
  device: DeviceCookieEntry | undefined
}>

export type SignInVerdict =
  | { outcome: 'allowed' }
  | { outcome: 'throttled'; retryAfterSeconds: number; refusal: Refusal }
  /** Used up for the day. Nobody is told: they would learn which names exist, and how close the guesses were. */
  | { outcome: 'locked'; refusal: Refusal }

export type Refusal = Extract<Verdict, { outcome: 'refused' }>

export type SignInLimits = ReturnType<typeof createSignInLimits>

/**
 * The limits of password sign-in. Names are counted whether they exist or not, in all spellings as one. Sign-ins with a
 * device cookie are counted apart from all others, so that what strangers try, on the same network too, never keeps a
 * person out (OWASP ASVS 6.1.1); they are counted together for each account, however many such cookies it has.
 */
export function createSignInLimits({ throttle }: { throttle: Throttle }) {
  return {
    async count(attempt: SignInAttempt): Promise<SignInVerdict> {
      const verdict = await throttle.count(...stagesOf(attempt))
      if (verdict.outcome === 'allowed') return verdict
      return verdict.reason === 'used up' && LOCKS.has(verdict.by)
        ? { outcome: 'locked', refusal: verdict }
        : { outcome: 'throttled', retryAfterSeconds: verdict.retryAfterSeconds, refusal: verdict }
    },

    /** The password was right: it was no guess. Guesses before it stay counted, and so does that it was checked. */
    succeeded: (attempt: SignInAttempt): Promise<void> =>
      throttle.settle({
        giveBack: stagesOf(attempt)
          .flat()
          .filter(({ limit }) => !CHECKS.has(limit)),
      }),

    /** The password of an attempt that was allowed was not looked at after all. */
    notLookedAt: (attempt: SignInAttempt): Promise<void> =>
      throttle.settle({ giveBack: stagesOf(attempt).flat() }),

    /** Whoever has proved by other means who they are, or has an operator's word, is not locked out any more. */
    unlock: ({ sub, username, email }: Account): Promise<void> => {
      const names = [username, email ?? []].flat().map(loginKey)
      return throttle.settle({
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

/** What counts right passwords too. */
const CHECKS = new Set<unknown>([LIMITS.passwordsByNetwork, LIMITS.passwordsByAccount])

const LOCKS = new Set<unknown>([
  LIMITS.signInByName,
  LIMITS.signInByAccount,
  LIMITS.signInByDeviceCookie,
  LIMITS.signInByKnownAccount,
])

/** What a refusal is on record as. */
export function eventTypeOf({ by, reason }: Refusal): EventType {
  if (by === LIMITS.signInByNetwork || by === LIMITS.passwordsByNetwork) return 'requests.throttled'
  return reason === 'used up' && LOCKS.has(by) ? 'sign_in.locked' : 'sign_in.throttled'
}

/**
 * What is counted, one stage after the other: a network that was stopped uses up nothing of a name, and whoever comes too
 * soon for a name uses up nothing of the person.
 */
function stagesOf(attempt: SignInAttempt): Counted[][] {
  return attempt.device ? stagesOfDevice(attempt, attempt.device) : stagesOfStranger(attempt)
}

function stagesOfDevice({ address }: SignInAttempt, { sub, id }: DeviceCookieEntry): Counted[][] {
  return [
    ...byNetworks(
      address,
      { limit: LIMITS.signInByNetwork, of: 'device' },
      { limit: LIMITS.passwordsByNetwork, of: 'device' },
      { limit: LIMITS.signInByPair, of: byDevice(sub) },
    ),
    // A cookie that was stolen is stopped before it uses up what the person's other browsers have.
    [{ limit: LIMITS.signInByDeviceCookie, of: id }],
    [
      { limit: LIMITS.signInByKnownAccount, of: sub },
      { limit: LIMITS.passwordsByAccount, of: byDevice(sub) },
    ],
  ]
}

function stagesOfStranger({ login, account, address }: SignInAttempt): Counted[][] {
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
      // As many for a name that nobody has: there is no time to tell the two apart by.
      { limit: LIMITS.signInByAccount, of: account?.sub ?? `nobody ${name}` },
      // By name, since this limit is told: one budget for a username and an address would say whose address it is.
      { limit: LIMITS.passwordsByAccount, of: byName(name) },
    ],
  ]
}

const byName = (name: string): string => `name ${name}`
const byDevice = (sub: string): string => `device ${sub}`
