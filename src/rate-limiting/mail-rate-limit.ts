import { loginKey } from '../store/account/account.ts'
import { LIMITS } from './limits.ts'
import { byNetworks, type RateLimit, type RateLimiter, type RateLimitKey } from './rate-limiter.ts'

/** Each purpose has a count of its own: a registration with another person's address does not stop their reset. */
type MailPurpose = 'registration' | 'reset' | 'address'

/**
 * The hourly budget that a mail counts against. Budgets are separate, so that a flood of one kind does not stop the
 * others:
 * - `anybody`: a registration, or a reset for an unknown name
 * - `account`: a reset for an existing account, from any browser
 * - `device`: a reset with a device cookie of that account
 * - `signed-in`: a request of a signed-in user
 */
export type MailShare = Readonly<
  { of: 'anybody' } | { of: 'account' } | { of: 'device' } | { of: 'signed-in'; sub: string }
>

/** A requested mail. `to` is the address, or the entered name when no account has it. */
export type RequestedMail = Readonly<{ purpose: MailPurpose; to: string; share: MailShare }>

type MailVerdict =
  | { outcome: 'allowed' }
  /** Answered as if the mail were sent: a refusal would reveal earlier requests and which accounts exist. */
  | { outcome: 'dropped'; by: RateLimit; isFirst: boolean }
  /** A limit of the requester was reached, which reveals nothing about other people. */
  | { outcome: 'refused'; retryAfterSeconds: number }

export type MailRateLimit = ReturnType<typeof createMailRateLimit>

/** The rate limits of mails: per address, per network and in total. */
export function createMailRateLimit({ rateLimiter }: { rateLimiter: RateLimiter }) {
  return {
    async count(mail: RequestedMail, requester: string): Promise<MailVerdict> {
      const verdict = await rateLimiter.count(...stagesOf(mail, requester))
      if (verdict.outcome === 'allowed') return { outcome: 'allowed' }
      const { by, isFirst, retryAfterSeconds } = verdict
      return ANSWERED_WITH_429.has(by)
        ? { outcome: 'refused', retryAfterSeconds }
        : { outcome: 'dropped', by, isFirst }
    },

    /**
     * Seconds until this network may ask again, as far as this instance knows. Lets the caller refuse without a
     * database statement.
     */
    secondsRefused: (requester: string): number =>
      Math.max(...networksOf(requester, undefined).flat().map(rateLimiter.secondsRefused)),

    /** Gives back an allowed mail whose request was invalid. The network's attempt stays counted. */
    giveBack: (mail: RequestedMail): Promise<void> =>
      rateLimiter.settle({ giveBack: [byAddress(mail), ...byShare(mail).flat()] }),
  }
}

const ANSWERED_WITH_429 = new Set<unknown>([LIMITS.mailByNetwork, LIMITS.mailByAccount])

const SHARES: Record<MailShare['of'], RateLimit> = {
  anybody: LIMITS.mailInTotal,
  account: LIMITS.mailByAccounts,
  device: LIMITS.mailByDevices,
  'signed-in': LIMITS.mailBySignedIn,
}

function stagesOf(mail: RequestedMail, requester: string): RateLimitKey[][] {
  const { share } = mail
  // The network limit answers 429, so it must not depend on whether an account exists.
  const isKnown = share.of === 'device' || share.of === 'signed-in'
  return [...networksOf(requester, isKnown ? share.of : undefined), [byAddress(mail)], ...byShare(mail)]
}

function networksOf(requester: string, of: string | undefined): RateLimitKey[][] {
  return byNetworks(requester, { limit: LIMITS.mailByNetwork, ...(of === undefined ? {} : { of }) })
}

/** Resets with a device cookie have their own count per address, so requests from other browsers cannot use it up. */
function byAddress({ purpose, to, share }: RequestedMail): RateLimitKey {
  const key = `${purpose} ${loginKey(to)}`
  return { limit: LIMITS.mailByAddress, of: share.of === 'device' ? `device ${key}` : key }
}

function byShare({ share }: RequestedMail): RateLimitKey[][] {
  const all = [{ limit: SHARES[share.of], of: '' }]
  return share.of === 'signed-in' ? [[{ limit: LIMITS.mailByAccount, of: share.sub }], all] : [all]
}
