import { type DatabaseClock, describeDistance, isRefusedAt, MEASURE_EVERY_SECONDS } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Job } from './scheduler.ts'

type Needs = {
  clock: DatabaseClock
  metrics: Pick<Metrics, 'clockDistance'>
  log: Log
}

export type ClockWatch = ReturnType<typeof createClockWatch>

/** Watches the offset of this machine's clock from the database's. */
export function createClockWatch({ clock, metrics, log }: Needs) {
  /** Records the offset in the metrics, and logs a warning when it is too large. */
  function tell(): void {
    const seconds = clock.distanceSeconds()
    metrics.clockDistance.set(seconds)
    const message = describeDistance(seconds)
    if (message !== undefined) log.warn({ event: 'clock.drifted', ahead_seconds: seconds, message })
  }

  async function measure(): Promise<void> {
    await clock.measure()
    tell()
  }

  const job: Job = { name: 'clock', everySeconds: MEASURE_EVERY_SECONDS, run: measure }
  return {
    job,
    tell,

    /** Measures again after a clock jump. While the database is away, the last measurement stays. */
    async settle(): Promise<void> {
      // A running measurement may have begun before the jump.
      for (let tries = 0; tries < 2 && clock.hasJumped(); tries++) await measure().catch(() => {})
    },

    isNear: (): boolean => !isRefusedAt(clock.distanceSeconds()),

    /** Warnings about the offset, as sentences. */
    warnings(): string[] {
      const message = describeDistance(clock.distanceSeconds())
      return message === undefined ? [] : [message]
    },
  }
}
