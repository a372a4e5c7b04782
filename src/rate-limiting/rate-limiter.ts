import { LRUCache } from 'lru-cache'
import type { Vault } from '../crypto/vault.ts'
import type { Metrics } from '../metrics.ts'
import type { Attempt, AttemptStore, Count } from '../store/attempt-counter.ts'

/** How often something may be tried. */
export type Limit = Readonly<{
  /** Unique; metrics and events name it. */
  name: string
  most: number
  windowSeconds: number
  /** Whether each attempt has the next one wait, longer and longer (1 s to 10 s). */
  isDelayed?: boolean
  /**
   * Whether every attempt is counted in the database, even when this instance knows that the limit is reached: because
   * a new password or an operator may lift it early, or because a faster answer would reveal it.
   */
  isAlwaysCounted?: boolean
  /** Whether all requests share one count: reaching it refuses people who did nothing wrong. */
  isShared?: boolean
}>

/** A limit and the key it counts by: an address, a name, a client. `times` multiplies it for a wide network. */
export type Counted = Readonly<{ limit: Limit; of: string; times?: number }>

export type Verdict =
  | { outcome: 'allowed' }
  | {
      outcome: 'refused'
      by: Limit
      /** Too many in this window, or too soon after the one before. */
      reason: 'used up' | 'too soon'
      retryAfterSeconds: number
      /** Whether the attempt before was allowed: what is worth recording once. */
      isFirst: boolean
    }

export type Throttle = ReturnType<typeof createThrottle>

const MOST_REMEMBERED = 10_000
/** Long enough that a flood is cheap, short enough that what another instance gave back is noticed. */
const MOST_CLOSED_SECONDS = 60

/**
 * Counts attempts against limits, over all instances, before anything else is done for them: an attempt that is being
 * looked at counts like one that failed, so the number cannot be outrun by many at once.
 */
export function createThrottle({
  attempts,
  vault,
  metrics,
}: {
  attempts: AttemptStore
  vault: Vault
  metrics: Pick<Metrics, 'throttled' | 'sharedLimitsReached'>
}) {
  // Whom to refuse without asking the database: a flood costs it nothing. Each instance finds out by itself.
  const closedUntil = new LRUCache<string, number>({ max: MOST_REMEMBERED })

  return {
    /**
     * Counts an attempt, stage after stage: a refusal leaves the limits of later stages uncounted. Rejects with the
     * database error, because an attempt that cannot be counted must not proceed.
     */
    async count(...stages: readonly (readonly Counted[])[]): Promise<Verdict> {
      const all = stages.flat()
      const known = all.find((counted) => secondsClosed(counted) > 0)
      if (known)
        return refused(known, { count: mostOf(known), refused: 2, waitSeconds: secondsClosed(known) })
      const counts = await attempts.count(stages.map((stage) => stage.map(toAttempt)))
      for (const counted of all) {
        const count = counts.find(({ key }) => keyOf(counted).equals(key))
        if (count && count.refused > 0) return refused(counted, count)
      }
      return { outcome: 'allowed' }
    },

    /** How long a limit refuses, as far as this instance knows; 0 when it would have to ask. Costs no statement. */
    secondsClosed,

    /** Attempts turned out to be none: one is given back to those who share a limit, whoever succeeded starts afresh. */
    settle: ({
      giveBack = [],
      forget = [],
    }: {
      giveBack?: readonly Counted[]
      forget?: readonly Counted[]
    }) => attempts.settle({ giveBack: giveBack.map(keyOf), forget: forget.map(keyOf) }),
  }

  function refused(counted: Counted, { count, refused, waitSeconds }: Omit<Count, 'key'>): Verdict {
    const { limit } = counted
    metrics.throttled.inc({ limit: limit.name })
    const isUsedUp = count >= mostOf(counted)
    const retryAfterSeconds = Math.max(1, waitSeconds)
    const isFirst = refused === 1
    if (isFirst && limit.isShared) metrics.sharedLimitsReached.inc({ limit: limit.name })
    if (isUsedUp && !limit.isAlwaysCounted)
      closedUntil.set(idOf(counted), performance.now() + retryAfterSeconds * 1000, {
        ttl: Math.min(retryAfterSeconds, MOST_CLOSED_SECONDS) * 1000,
      })
    return {
      outcome: 'refused',
      by: limit,
      reason: isUsedUp ? 'used up' : 'too soon',
      retryAfterSeconds,
      isFirst,
    }
  }

  function secondsClosed(counted: Counted): number {
    const until = closedUntil.get(idOf(counted))
    return until === undefined ? 0 : Math.max(0, Math.ceil((until - performance.now()) / 1000))
  }

  function toAttempt(counted: Counted): Attempt {
    const { windowSeconds, isDelayed = false } = counted.limit
    return { key: keyOf(counted), most: mostOf(counted), windowSeconds, isDelayed }
  }

  function keyOf(counted: Counted): Buffer {
    return vault.fingerprint(idOf(counted), 'attempt')
  }
}

const mostOf = ({ limit, times = 1 }: Counted): number => limit.most * times

const idOf = ({ limit, of }: Counted): string => `${limit.name}\n${of}`
