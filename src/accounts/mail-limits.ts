import { loginKey } from '../store/account.ts'
import { LIMITS } from './limits.ts'
import { networkOf } from './network.ts'
import type { Throttle } from './throttle.ts'

export type MailLimits = ReturnType<typeof createMailLimits>

/** How much mail strangers can have us send: to one address, from one network, and at all. */
export function createMailLimits({ throttle }: { throttle: Throttle }) {
  return {
    /**
     * Counts a mail before anything is looked up.
     *
     * @param to the address, or the name whose address it goes to, in whatever spelling: known or not, it counts.
     * @returns `refused` for the network alone, which may be told; `dropped` looks to whoever asks as if it were sent,
     *   or they would learn who was asked for before.
     */
    async count(
      to: string,
      requester: string,
    ): Promise<{ outcome: 'allowed' | 'dropped' } | { outcome: 'refused'; retryAfterSeconds: number }> {
      const verdict = await throttle.count(
        [{ limit: LIMITS.mailByNetwork, of: networkOf(requester) }],
        [
          { limit: LIMITS.mailByAddress, of: loginKey(to) },
          { limit: LIMITS.mailByEverybody, of: '' },
        ],
      )
      if (verdict.outcome === 'allowed') return { outcome: 'allowed' }
      return verdict.by === LIMITS.mailByNetwork
        ? { outcome: 'refused', retryAfterSeconds: verdict.retryAfterSeconds }
        : { outcome: 'dropped' }
    },
  }
}
