import { type Clock, MINUTE_SECONDS } from './time.ts'

/** From this distance on operators are warned. */
const WARN_FROM_SECONDS = 2
/** From this distance on an instance reports that it is not ready. */
const REFUSE_FROM_SECONDS = 30
/** A measurement is repeated after this time; quartz drifts by some milliseconds meanwhile. */
export const MEASURE_EVERY_SECONDS = MINUTE_SECONDS

/** The machine's clock and its monotonic one go together. If they part by more than this, one of them was set (NTP slews). */
const JUMP_MILLISECONDS = 250
/** The fastest of several answers tells the time best. */
const SAMPLES = 3

type Needs = Readonly<{
  /** Asks the database for its time, in milliseconds since the epoch. */
  readTime: () => Promise<number>
  /** The clock of this machine, whose distance is watched. */
  wallClock: Clock
  /** Milliseconds that no setting of a clock moves. */
  monotonic?: () => number
}>

/** The database's clock, as this process knows it. */
export type DatabaseClock = Readonly<{
  /** Goes on by the monotonic clock, whatever happens to this machine's. */
  now: Clock
  /** How far this machine's clock is ahead of the database's; below zero it is behind. */
  distanceSeconds: () => number
  /** Whether this machine's clock was set, or the machine slept, since the last measurement. */
  hasJumped: () => boolean
  /** Measures again; calls that come meanwhile share the measurement. When it fails, the last one stands. */
  measure: () => Promise<void>
}>

/** Whether an instance at this distance reports that it is not ready. */
export function isRefusedAt(aheadSeconds: number): boolean {
  return Math.abs(aheadSeconds) >= REFUSE_FROM_SECONDS
}

/** What is wrong with a distance; undefined when nothing is. */
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
 * Measures the database's clock. It decides what is stored, found and deleted, because the clocks of instances differ
 * and what one of them stores must mean the same to all.
 */
export async function measureClock({
  readTime,
  wallClock,
  monotonic = () => performance.now(),
}: Needs): Promise<DatabaseClock> {
  /** What is added to the monotonic clock: for the database's time, and for this machine's. */
  let offset = Number.NaN
  let wallOffset = Number.NaN
  let measuring: Promise<void> | undefined

  const wallOffsetNow = () => wallClock().getTime() - monotonic()
  const hasJumped = () => Math.abs(wallOffsetNow() - wallOffset) > JUMP_MILLISECONDS

  /** @returns what one answer tells, and how wrong that can be. */
  async function sample(): Promise<{ offset: number; error: number }> {
    const askedAt = monotonic()
    const time = await readTime()
    const error = (monotonic() - askedAt) / 2
    return { offset: time - askedAt - error, error }
  }

  async function takeMeasurement(): Promise<void> {
    // From before: a jump while the database is asked makes the answer doubtful, and is noticed afterwards.
    const wallOffsetBefore = wallOffsetNow()
    let best = await sample()
    for (let taken = 1; taken < SAMPLES; taken++) {
      const next = await sample()
      if (next.error < best.error) best = next
    }
    // A busy database answers late. Such an answer does not replace a better one that it agrees with.
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
