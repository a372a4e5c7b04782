import { type Account, loginKey } from '../store/account.ts'
import type { EventType } from '../store/event-type.ts'
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
  /** The browser's own identifier, when this person signed in with it before. */
  knownBrowserId: string | undefined
}>

export type SignInVerdict =
  | { outcome: 'allowed' }
  | { outcome: 'throttled'; retryAfterSeconds: number; refusal: Refusal }
  /** Used up for the day. Nobody is told: they would learn which names exist, and how close the guesses were. */
  | { outcome: 'locked'; refusal: Refusal }

export type Refusal = Extract<Verdict, { outcome: 'refused' }>

export type SignInLimits = ReturnType<typeof createSignInLimits>

/**
 * The limits of password sign-in. Names are counted whether they exist or not, in all spellings as one. A browser that
 * the person signed in with before has a count of its own: what strangers try never keeps that person out
 * (OWASP ASVS 6.1.1).
 */
export function createSignInLimits({ throttle }: { throttle: Throttle }) {
  return {
    async count(attempt: SignInAttempt): Promise<SignInVerdict> {
      const verdict = await throttle.count(...doorsOf(attempt), ...stagesOf(attempt))
      if (verdict.outcome === 'allowed') return verdict
      return verdict.reason === 'used up' && LOCKS.has(verdict.by)
        ? { outcome: 'locked', refusal: verdict }
        : { outcome: 'throttled', retryAfterSeconds: verdict.retryAfterSeconds, refusal: verdict }
    },

    /** The password was right: those who share the network have lost nothing, and the person starts afresh. */
    succeeded: (attempt: SignInAttempt): Promise<void> =>
      throttle.settle({ giveBack: doorsOf(attempt).flat(), forget: countersOf(attempt) }),

    /** The password was not looked at after all. */
    notLookedAt: (attempt: SignInAttempt): Promise<void> =>
      throttle.settle({ giveBack: [...doorsOf(attempt).flat(), ...countersOf(attempt)] }),

    /** Whoever has proved by other means who they are, or has an operator's word, is not locked out any more. */
    unlock: (account: Account): Promise<void> =>
      throttle.settle({
        forget: [
          ...[account.username, account.email ?? []].flat().map(byName),
          { limit: LIMITS.signInByAccount, of: account.sub },
        ],
      }),
  }
}

const LOCKS = new Set<unknown>([LIMITS.signInByName, LIMITS.signInByAccount, LIMITS.signInByKnownBrowser])

/** What a refusal is on record as. */
export function eventTypeOf({ by, reason }: Refusal): EventType {
  if (by === LIMITS.signInByNetwork) return 'requests.throttled'
  return reason === 'used up' && LOCKS.has(by) ? 'sign_in.locked' : 'sign_in.throttled'
}

/** What is counted after the doors, one after the other: who comes too soon for a name uses up nothing of the person. */
function stagesOf(attempt: SignInAttempt): Counted[][] {
  return countersOf(attempt).map((counted) => [counted])
}

/** What is looked at first, so that a network that was stopped cannot use up the attempts of others. */
function doorsOf({ login, address, knownBrowserId }: SignInAttempt): Counted[][] {
  if (knownBrowserId !== undefined) return []
  return byNetworks(
    address,
    { limit: LIMITS.signInByNetwork },
    { limit: LIMITS.signInByPair, of: loginKey(login) },
  )
}

function countersOf({ login, account, knownBrowserId }: SignInAttempt): Counted[] {
  if (knownBrowserId !== undefined && account)
    return [{ limit: LIMITS.signInByKnownBrowser, of: `${knownBrowserId} ${account.sub}` }]
  // As many for a name that nobody has: there is no time to tell the two apart by.
  const person = account?.sub ?? `nobody ${loginKey(login)}`
  return [byName(login), { limit: LIMITS.signInByAccount, of: person }]
}

const byName = (login: string): Counted => ({ limit: LIMITS.signInByName, of: loginKey(login) })
