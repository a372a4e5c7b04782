import type { UndeliveredAnswers } from '../oidc/undelivered-answers.ts'
import { isUnavailable } from '../store/fault.ts'
import type { Heartbeat, UptimeStore } from '../store/uptime.ts'
import { MINUTE_SECONDS } from '../time.ts'
import type { Job } from './scheduler.ts'

/** The scheduler spreads pauses by a quarter, and a statement takes its time. */
const PAUSE_PART = 0.75
/** An answer that a client did not get is repeated for this long. */
const UNDELIVERED_SECONDS = 10 * MINUTE_SECONDS

/** Notes, while this instance runs, that it does and has the database, and what it owes to clients. */
export function createHeartbeatJob({
  uptimes,
  undelivered,
  heartbeat,
}: {
  uptimes: UptimeStore
  undelivered: UndeliveredAnswers
  heartbeat: Heartbeat
}) {
  async function beat(isLeaving = false): Promise<void> {
    const reported = undelivered.list()
    const found = await uptimes.beat({
      undelivered: reported,
      repeatSeconds: UNDELIVERED_SECONDS,
      isLeaving,
    })
    undelivered.settle(reported, found)
  }

  /** A beat that is missed because the database is away is what the heartbeat is for, and no failure. */
  async function beatIfPossible(isLeaving = false): Promise<void> {
    try {
      await beat(isLeaving)
    } catch (error) {
      if (!isUnavailable(error)) throw error
    }
  }

  const job: Job = {
    name: 'heartbeat',
    everySeconds: heartbeat.everySeconds * PAUSE_PART,
    run: () => beatIfPossible(),
  }
  return {
    job,
    /** Before the first answer. */
    begin: (): Promise<void> => beat(),
    /** After the last answer. */
    leave: (): Promise<void> => beatIfPossible(true),
  }
}
