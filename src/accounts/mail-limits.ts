import { loginKey } from '../store/account.ts'
import { LIMITS } from './limits.ts'
import { byNetworks } from './network-limits.ts'
import type { Counted, Limit, Throttle } from './throttle.ts'

/** What mail is asked for. Each has a count of its own: registering somebody else's address does not stop their reset. */
type Asked = 'registration' | 'reset' | 'address'

/**
 * Who shares the number of mails an hour with whom, so that strangers cannot use up what people have:
 * - `anybody`: a registration, and a reset of a name that nobody has
 * - `account`: a reset for a person, whoever asks
 * - `device`: the same, with that person's device cookie
 * - `signed-in`: asked by a person who is signed in
 */
export type MailShare = Readonly<
  { of: 'anybody' } | { of: 'account' } | { of: 'device' } | { of: 'signed-in'; sub: string }
>

/** A mail that is asked for. Of a name that nobody has, the name takes the place of the address. */
export type AskedMail = Readonly<{ asked: Asked; to: string; share: MailShare }>

export type MailVerdict =
  | { outcome: 'allowed' }
  /** Looks as if it were sent: the answer would tell who was asked for before, and who has an account. */
  | { outcome: 'dropped'; by: Limit; isFirst: boolean }
  /** Too many by the one who asks, which tells nothing of others. */
  | { outcome: 'refused'; retryAfterSeconds: number }

export type MailLimits = ReturnType<typeof createMailLimits>

/** How much mail people can have us send: to one address, from one network, and at all. */
export function createMailLimits({ throttle }: { throttle: Throttle }) {
  return {
    async count(mail: AskedMail, requester: string): Promise<MailVerdict> {
      const verdict = await throttle.count(...stagesOf(mail, requester))
      if (verdict.outcome === 'allowed') return { outcome: 'allowed' }
      const { by, isFirst, retryAfterSeconds } = verdict
      return TOLD.has(by) ? { outcome: 'refused', retryAfterSeconds } : { outcome: 'dropped', by, isFirst }
    },

    /** How long a network is refused, as far as this instance knows: then nothing needs to be looked up. */
    secondsClosed: (requester: string): number =>
      Math.max(...networksOf(requester, undefined).flat().map(throttle.secondsClosed)),

    /** A mail that was allowed was not asked for properly: the address has lost nothing, the network has. */
    notAsked: (mail: AskedMail): Promise<void> =>
      throttle.settle({ giveBack: [byAddress(mail), ...byShare(mail).flat()] }),
  }
}

const TOLD = new Set<unknown>([LIMITS.mailByNetwork, LIMITS.mailByAccount])

const SHARES: Record<MailShare['of'], Limit> = {
  anybody: LIMITS.mailByEverybody,
  account: LIMITS.mailByAccounts,
  device: LIMITS.mailByDevices,
  'signed-in': LIMITS.mailBySignedIn,
}

function stagesOf(mail: AskedMail, requester: string): Counted[][] {
  const { share } = mail
  // Refusals of a network are told, so whether there is an account makes no difference to it.
  const isKnown = share.of === 'device' || share.of === 'signed-in'
  return [...networksOf(requester, isKnown ? share.of : undefined), [byAddress(mail)], ...byShare(mail)]
}

function networksOf(requester: string, of: string | undefined): Counted[][] {
  return byNetworks(requester, { limit: LIMITS.mailByNetwork, ...(of === undefined ? {} : { of }) })
}

/** What a person asks for with a device cookie, nobody else can have used up. */
function byAddress({ asked, to, share }: AskedMail): Counted {
  const key = `${asked} ${loginKey(to)}`
  return { limit: LIMITS.mailByAddress, of: share.of === 'device' ? `device ${key}` : key }
}

function byShare({ share }: AskedMail): Counted[][] {
  const all = [{ limit: SHARES[share.of], of: '' }]
  return share.of === 'signed-in' ? [[{ limit: LIMITS.mailByAccount, of: share.sub }], all] : [all]
}
