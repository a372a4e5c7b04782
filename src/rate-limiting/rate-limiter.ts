import { LRUCache } from 'lru-cache'
import type { Vault } from '../crypto/vault.ts'
import type { Metrics } from '../metrics.ts'
import type { Attempt, AttemptCounter, Count } from '../store/attempt-counter.ts'
import { networksOf } from './network.ts'

export type RateLimit = Readonly<{
  /** Unique; metrics and events name it. */
  name: string
  most: number
  windowSeconds: number
  /** Whether an attempt delays the next one, longer each time (1 s to 10 s). */
  isDelayed?: boolean
  /**
   * Whether every attempt is counted in the database, even when this instance knows that the limit is reached: because
   * a new password or an operator may lift it early, or because a faster answer would reveal it.
   */
  isAlwaysCounted?: boolean
  /** Whether all requests share one count: reaching it also refuses honest people. */
  isShared?: boolean
}>

/** A limit and the network, name or client that it counts. `times` multiplies it for a wide network. */
export type RateLimitKey = Readonly<{ limit: RateLimit; of: string; times?: number }>

export type Verdict =
  | { outcome: 'allowed' }
  | {
      outcome: 'refused'
      by: RateLimit
      /** `used up` until the window ends, or `too soon` after the attempt before. */
      reason: 'used up' | 'too soon'
      retryAfterSeconds: number
      /** Whether the attempt before was allowed. Only the first refusal is recorded as an event. */
      isFirst: boolean
    }

export type RateLimiter = ReturnType<typeof createRateLimiter>

const MOST_REMEMBERED = 10_000
/** Makes a flood cheap, and notices within a minute when another instance gave attempts back. */
const MOST_CACHED_SECONDS = 60

type Settled = { giveBack?: readonly RateLimitKey[]; forget?: readonly RateLimitKey[] }

type Needs = {
  attempts: AttemptCounter
  vault: Vault
  metrics: Pick<Metrics, 'throttled' | 'sharedLimitsReached'>
}

/**
 * Counts attempts against limits over all instances. An attempt is counted before it is checked, so concurrent attempts
 * cannot exceed a limit.
 */
export function createRateLimiter({ attempts, vault, metrics }: Needs) {
  // A cache of this instance: a flood costs the database nothing.
  const refusedUntil = new LRUCache<string, number>({ max: MOST_REMEMBERED })

  return {
    /**
     * Counts an attempt, stage after stage: a refusal leaves the limits of later stages uncounted. Rejects with the
     * database error, because an attempt that cannot be counted must not proceed.
     */
    async count(...stages: readonly (readonly RateLimitKey[])[]): Promise<Verdict> {
      const all = stages.flat()
      const known = all.find((counted) => secondsRefused(counted) > 0)
      if (known)
        return refused(known, { count: mostOf(known), refused: 2, waitSeconds: secondsRefused(known) })
      const counts = await attempts.count(stages.map((stage) => stage.map(toAttempt)))
      for (const counted of all) {
        const count = counts.find(({ key }) => keyOf(counted).equals(key))
        if (count && count.refused > 0) return refused(counted, count)
      }
      return { outcome: 'allowed' }
    },

    /** Seconds until a limit allows again, from the cache of this instance; 0 when it is not cached. */
    secondsRefused,

    /** Corrects counts: gives one attempt back to each limit of `giveBack`, and resets the limits of `forget`. */
    settle: ({ giveBack = [], forget = [] }: Settled) =>
      attempts.settle({ giveBack: giveBack.map(keyOf), forget: forget.map(keyOf) }),
  }

  function refused(counted: RateLimitKey, { count, refused, waitSeconds }: Omit<Count, 'key'>): Verdict {
    const { limit } = counted
    metrics.throttled.inc({ limit: limit.name })
    const isUsedUp = count >= mostOf(counted)
    const retryAfterSeconds = Math.max(1, waitSeconds)
    const isFirst = refused === 1
    if (isFirst && limit.isShared) metrics.sharedLimitsReached.inc({ limit: limit.name })
    if (isUsedUp && !limit.isAlwaysCounted)
      refusedUntil.set(idOf(counted), performance.now() + retryAfterSeconds * 1000, {
        ttl: Math.min(retryAfterSeconds, MOST_CACHED_SECONDS) * 1000,
      })
    return {
      outcome: 'refused',
      by: limit,
      reason: isUsedUp ? 'used up' : 'too soon',
      retryAfterSeconds,
      isFirst,
    }
  }

  function secondsRefused(counted: RateLimitKey): number {
    const until = refusedUntil.get(idOf(counted))
    return until === undefined ? 0 : Math.max(0, Math.ceil((until - performance.now()) / 1000))
  }

  function toAttempt(counted: RateLimitKey): Attempt {
    const { windowSeconds, isDelayed = false } = counted.limit
    return { key: keyOf(counted), most: mostOf(counted), windowSeconds, isDelayed }
  }

  function keyOf(counted: RateLimitKey): Buffer {
    return vault.keyedHash(idOf(counted), 'attempt')
  }
}

const mostOf = ({ limit, times = 1 }: RateLimitKey): number => limit.most * times

const idOf = ({ limit, of }: RateLimitKey): string => `${limit.name}\n${of}`

/** A limit per network; `of` divides it further, by name or by client. */
type NetworkLimit = Readonly<{ limit: RateLimit; of?: string }>

/**
 * Counts an address in each of its networks, so that rotating through an IPv6 prefix does not evade a limit. Wider
 * networks have larger budgets.
 *
 * @returns one stage per network, narrowest first: a refused stage uses up nothing of the wider networks.
 */
export function byNetworks(address: string, ...limits: readonly NetworkLimit[]): RateLimitKey[][] {
  return networksOf(address).map(({ prefix, budget }) =>
    limits.map(({ limit, of }) => ({
      limit,
      of: of === undefined ? prefix : `${prefix} ${of}`,
      times: budget,
    })),
  )
}
