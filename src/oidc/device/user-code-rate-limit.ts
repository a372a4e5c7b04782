import { errors, Provider } from 'oidc-provider'
import { newEvent } from '../../audit/event.ts'
import { LIMITS } from '../../rate-limiting/limits.ts'
import { byNetworks, type RateLimiter, type RateLimitKey } from '../../rate-limiting/rate-limiter.ts'
import { type DeviceCookieEntry, deviceOf } from '../../rate-limiting/sign-in-rate-limit.ts'
import type { Stores } from '../../store/stores.ts'
import { currentRequest } from '../engine/request-context.ts'

/** Too many unknown user codes. The device page shows the time to wait. */
export class TooManyUserCodesError extends errors.CustomOIDCProviderError {
  readonly retryAfterSeconds: number
  constructor(retryAfterSeconds: number) {
    super('slow_down', 'too many unknown user codes')
    this.retryAfterSeconds = retryAfterSeconds
    this.status = 429
    this.statusCode = 429
  }
}

/** Reads the device cookie of a request. */
type FindDevices = (ctx: NonNullable<typeof Provider.ctx>) => readonly DeviceCookieEntry[]

type Needs = {
  rateLimiter: RateLimiter
  stores: Pick<Stores, 'accounts' | 'events'>
  findDevices: FindDevices
}

/**
 * Counts entered user codes before they are looked up (RFC 8628 §5.1): eight of twenty letters do not withstand
 * unlimited guessing.
 *
 * An attacker can drop the cookie and so evade the limit per browser session (five), which is for honest mistakes. The
 * limit per network (thirty an hour) covers all its sessions. A global limit stops an attacker with many networks; it
 * records an event, because it also stops other people. People who are signed in or have a device cookie have a
 * separate share.
 */
export function createUserCodeRateLimit({ rateLimiter, stores, findDevices }: Needs) {
  const { accounts, events } = stores
  return {
    /**
     * Counts a code that is about to be looked up.
     *
     * @returns a function that takes the count back when the code exists.
     * @throws {TooManyUserCodesError}
     */
    async count(): Promise<() => Promise<void>> {
      const { origin } = currentRequest()
      const sub = await findKnownPerson()
      const stages = stagesOf(origin.address ?? '', sub)
      const verdict = await rateLimiter.count(...stages)
      if (verdict.outcome === 'allowed') return () => rateLimiter.settle({ giveBack: stages.flat() })
      const { by, isFirst, retryAfterSeconds } = verdict
      if (by.isShared && isFirst)
        await events.record([newEvent('device.codes_guessed', { detail: { limit: by.name } }, origin)])
      throw new TooManyUserCodesError(retryAfterSeconds)
    },
  }

  /** The signed-in account, or the account of the device cookie. */
  async function findKnownPerson(): Promise<string | undefined> {
    const { ctx } = Provider
    if (!ctx || ctx.oidc.session?.accountId !== undefined) return ctx?.oidc.session?.accountId
    const entries = findDevices(ctx)
    const account = entries[0] && (await accounts.find(entries[0].sub))
    return account?.status === 'active' && deviceOf(account, entries) ? account.sub : undefined
  }
}

/** The shared limit is last, so that a network that is refused does not use it up. */
function stagesOf(address: string, sub: string | undefined): RateLimitKey[][] {
  const browser = { limit: LIMITS.userCodeByBrowser, of: Provider.ctx?.oidc.session?.uid ?? '' }
  const limit = LIMITS.userCodeByNetwork
  if (sub === undefined)
    return [[browser], ...byNetworks(address, { limit }), [{ limit: LIMITS.userCodeInTotal, of: '' }]]
  return [
    [browser],
    ...byNetworks(address, { limit, of: 'known' }),
    [{ limit: LIMITS.userCodeByAccount, of: sub }],
    [{ limit: LIMITS.userCodeByKnown, of: '' }],
  ]
}

export type UserCodeRateLimit = ReturnType<typeof createUserCodeRateLimit>
