import {
  type DatabaseClock,
  describeDistance,
  isRefusedAt,
  MEASURE_EVERY_SECONDS,
} from '../database-clock.ts'
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
  function report(): void {
    const seconds = clock.distanceSeconds()
    metrics.clockDistance.set(seconds)
    const message = describeDistance(seconds)
    if (message !== undefined) log.warn({ event: 'clock.drifted', ahead_seconds: seconds, message })
  }

  async function measure(): Promise<void> {
    await clock.measure()
    report()
  }

  const job: Job = { name: 'clock', everySeconds: MEASURE_EVERY_SECONDS, run: measure }
  return {
    job,
    report,

    /** Measures again after a clock jump. Without the database, the last measurement stays. */
    async settle(): Promise<void> {
      // A running measurement may have begun before the jump.
      for (let tries = 0; tries < 2 && clock.hasJumped(); tries++) await measure().catch(() => {})
    },

    isInSync: (): boolean => !isRefusedAt(clock.distanceSeconds()),

    warnings(): string[] {
      const message = describeDistance(clock.distanceSeconds())
      return message === undefined ? [] : [message]
    },
  }
}
