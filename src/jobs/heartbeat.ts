import { isUnavailable } from '../db/database-error.ts'
import type { Heartbeat, Undelivered, UptimeStore } from '../store/token/uptime.ts'
import { MINUTE_SECONDS } from '../time.ts'
import type { Job } from './scheduler.ts'

/** The scheduler adds up to a quarter, and the statement takes time. */
const PAUSE_PART = 0.75
/** How long an undelivered answer stays available for a retry. */
const UNDELIVERED_SECONDS = 10 * MINUTE_SECONDS

/** The answers that this instance could not send: see oidc/token/undelivered-answers.ts. */
type UndeliveredAnswers = Readonly<{
  list: () => readonly Undelivered[]
  settle: (reported: readonly Undelivered[], found: readonly Uint8Array[]) => void
}>

type Needs = { uptimes: UptimeStore; undelivered: UndeliveredAnswers; heartbeat: Heartbeat }

/** Records the uptime of this instance (running and connected to the database) and its undelivered answers. */
export function createHeartbeatJob({ uptimes, undelivered, heartbeat }: Needs) {
  async function beat(isLeaving = false): Promise<void> {
    const reported = undelivered.list()
    const found = await uptimes.beat({
      undelivered: reported,
      repeatSeconds: UNDELIVERED_SECONDS,
      isLeaving,
    })
    undelivered.settle(reported, found)
  }

  /** A missed beat during a database outage is the expected record of it, not a failure. */
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
    /** Called before the first answer. */
    begin: (): Promise<void> => beat(),
    /** Called after the last answer. */
    leave: (): Promise<void> => beatIfPossible(true),
  }
}
