import { loginKey } from '../store/account.ts'
import { LIMITS } from './limits.ts'
import { byNetworks } from './network-limits.ts'
import type { Counted, Throttle } from './throttle.ts'

/** What mail is asked for. Each has a count of its own: registering somebody else's address does not stop their reset. */
type Asked = 'registration' | 'reset' | 'address'

export type MailLimits = ReturnType<typeof createMailLimits>

/** How much mail strangers can have us send: to one address, from one network, and at all. */
export function createMailLimits({ throttle }: { throttle: Throttle }) {
  return {
    /**
     * Counts a mail before anything is looked up.
     *
     * @param asked for.
     * @param to the address, or the name whose address it goes to, in whatever spelling: known or not, it counts.
     * @returns `refused` for the network alone, which may be told; `dropped` looks to whoever asks as if it were sent,
     *   or they would learn who was asked for before.
     */
    async count(
      asked: Asked,
      to: string,
      requester: string,
    ): Promise<{ outcome: 'allowed' | 'dropped' } | { outcome: 'refused'; retryAfterSeconds: number }> {
      const verdict = await throttle.count(
        ...byNetworks(requester, { limit: LIMITS.mailByNetwork }),
        [byAddress(asked, to)],
        [BY_EVERYBODY],
      )
      if (verdict.outcome === 'allowed') return { outcome: 'allowed' }
      return verdict.by === LIMITS.mailByNetwork
        ? { outcome: 'refused', retryAfterSeconds: verdict.retryAfterSeconds }
        : { outcome: 'dropped' }
    },

    /** A mail that was allowed was not asked for properly: the address has lost nothing, the network has. */
    notAsked: (asked: Asked, to: string): Promise<void> =>
      throttle.settle({ giveBack: [byAddress(asked, to), BY_EVERYBODY] }),
  }
}

const BY_EVERYBODY: Counted = { limit: LIMITS.mailByEverybody, of: '' }

const byAddress = (asked: Asked, to: string): Counted => ({
  limit: LIMITS.mailByAddress,
  of: `${asked} ${loginKey(to)}`,
})
