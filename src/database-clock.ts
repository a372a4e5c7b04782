/** The database's clock as this process measures it. All stored times use it, because clocks of instances differ. */
import { type Clock, MINUTE_SECONDS } from './time.ts'

/** Operators are warned from this clock offset on. */
const WARN_FROM_SECONDS = 2
/** An instance reports that it is not ready from this clock offset on. */
const REFUSE_FROM_SECONDS = 30
/** The interval of measurements. A quartz clock drifts by a few milliseconds in this time. */
export const MEASURE_EVERY_SECONDS = MINUTE_SECONDS

/**
 * A larger change of the difference between wall clock and monotonic clock means that the wall clock was set (NTP slews
 * in smaller steps).
 */
const JUMP_MILLISECONDS = 250
/** Samples per measurement. The fastest answer has the smallest error. */
const SAMPLES = 3

type Needs = Readonly<{
  /** Reads the database's time, in milliseconds since the epoch. */
  readTime: () => Promise<number>
  /** This machine's wall clock, whose offset is watched. */
  wallClock: Clock
  /** A monotonic clock in milliseconds. */
  monotonic?: () => number
}>

/** The database's clock, as measured by this process. */
export type DatabaseClock = Readonly<{
  /** Advances with the monotonic clock, so setting the wall clock does not affect it. */
  now: Clock
  /** How far this machine's clock is ahead of the database's; negative when it is behind. */
  distanceSeconds: () => number
  /** Whether this machine's clock was set, or the machine slept, since the last measurement. */
  hasJumped: () => boolean
  /** Measures again; concurrent calls share one measurement. When it fails, the last measurement stays. */
  measure: () => Promise<void>
}>

/** Whether an instance with this clock offset reports that it is not ready. */
export function isRefusedAt(aheadSeconds: number): boolean {
  return Math.abs(aheadSeconds) >= REFUSE_FROM_SECONDS
}

/** Describes an offset that is too large; undefined for an acceptable one. */
export function describeDistance(aheadSeconds: number): string | undefined {
  const seconds = Math.abs(aheadSeconds)
  if (seconds < WARN_FROM_SECONDS) return undefined
  const direction = aheadSeconds > 0 ? 'ahead of' : 'behind'
  const consequence = isRefusedAt(seconds)
    ? 'an instance here is not ready'
    : `an instance is not ready from ${REFUSE_FROM_SECONDS} s on`
  return `The clock of this machine is ${seconds.toFixed(1)} s ${direction} the clock of the database; ${consequence}. Synchronise both (NTP).`
}

/**
 * Measures the database's clock. That clock decides what is stored, found and deleted, because the clocks of instances
 * differ and a stored time must mean the same to all.
 */
export async function measureClock({
  readTime,
  wallClock,
  monotonic = () => performance.now(),
}: Needs): Promise<DatabaseClock> {
  /** Offsets to the monotonic clock: of the database's time, and of this machine's wall clock. */
  let offset = Number.NaN
  let wallOffset = Number.NaN
  let measuring: Promise<void> | undefined

  const wallOffsetNow = () => wallClock().getTime() - monotonic()
  const hasJumped = () => Math.abs(wallOffsetNow() - wallOffset) > JUMP_MILLISECONDS

  /** @returns the offset by one answer, and its largest error. */
  async function sample(): Promise<{ offset: number; error: number }> {
    const askedAt = monotonic()
    const time = await readTime()
    const error = (monotonic() - askedAt) / 2
    return { offset: time - askedAt - error, error }
  }

  async function takeMeasurement(): Promise<void> {
    // Taken before the query: a jump during the query makes the sample doubtful and is detected afterwards.
    const wallOffsetBefore = wallOffsetNow()
    let best = await sample()
    for (let taken = 1; taken < SAMPLES; taken++) {
      const next = await sample()
      if (next.error < best.error) best = next
    }
    // A late answer of a busy database is imprecise. It does not replace a better measurement that it agrees with.
    const isConfirmed = !hasJumped() && Math.abs(best.offset - offset) <= best.error
    if (!isConfirmed) offset = best.offset
    wallOffset = wallOffsetBefore
  }

  await takeMeasurement()
  return {
    now: () => new Date(monotonic() + offset),
    distanceSeconds: () => (wallOffsetNow() - offset) / 1000,
    hasJumped,
    measure() {
      measuring ??= takeMeasurement().finally(() => {
        measuring = undefined
      })
      return measuring
    },
  }
}
