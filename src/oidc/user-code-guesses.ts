import { errors, Provider } from 'oidc-provider'
import { LIMITS } from '../accounts/limits.ts'
import { byNetworks } from '../accounts/network-limits.ts'
import type { Counted, Throttle } from '../accounts/throttle.ts'
import { type EventStore, NO_ORIGIN, newEvent } from '../store/event.ts'
import { currentUnit } from './unit-of-work.ts'

/** Too many codes that do not exist. The device page says how long to wait. */
export class TooManyGuessesError extends errors.CustomOIDCProviderError {
  readonly retryAfterSeconds: number
  constructor(retryAfterSeconds: number) {
    super('slow_down', 'too many user codes that do not exist')
    this.retryAfterSeconds = retryAfterSeconds
    this.status = 429
    this.statusCode = 429
  }
}

/**
 * Counts the user codes that people enter, before anybody looks whether they exist (RFC 8628 §5.1): eight of twenty
 * letters are too few to be left to guessing.
 *
 * A browser session has five, which is for the honest: whoever drops its cookie gets another session for nothing. What
 * it cannot shed is the network that it comes from, which has thirty an hour in all its sessions. Who has many networks
 * meets the limit over everybody; that is on record, because then nobody can connect a device for a while.
 */
export function createUserCodeGuesses({ throttle, events }: { throttle: Throttle; events: EventStore }) {
  return {
    /**
     * Counts a code that is about to be looked up.
     *
     * @returns what takes that back when it was no guess.
     * @throws {TooManyGuessesError}
     */
    async count(): Promise<() => Promise<void>> {
      const origin = currentUnit()?.origin ?? NO_ORIGIN
      const browser = { limit: LIMITS.userCodeByBrowser, of: Provider.ctx?.oidc.session?.uid ?? '' }
      const networks = byNetworks(origin.address ?? '', { limit: LIMITS.userCodeByNetwork })
      // Last: a network that is stopped uses up nothing of what everybody shares.
      const stages: Counted[][] = [[browser], ...networks, [{ limit: LIMITS.userCodeByEverybody, of: '' }]]
      const verdict = await throttle.count(...stages)
      if (verdict.outcome === 'allowed') return () => throttle.settle({ giveBack: stages.flat() })
      if (verdict.by === LIMITS.userCodeByEverybody && verdict.isFirst)
        await events.record([newEvent('device.codes_guessed', {}, origin)])
      throw new TooManyGuessesError(verdict.retryAfterSeconds)
    },
  }
}

export type UserCodeGuesses = ReturnType<typeof createUserCodeGuesses>
