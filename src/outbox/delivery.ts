/**
 * Room outbox/ (transactional outbox): delivers the back-channel logouts and mails that transactions wrote as rows, at
 * least once each. This file schedules attempts; the other two make them.
 */
import type { ChangeNotifications, WatchedTable } from '../db/change-notification.ts'
import type { Job } from '../jobs/scheduler.ts'
import type { Log } from '../log.ts'

/** The interval of polling, for retries that are due and for lost notifications. */
const POLL_SECONDS = 3
const EXPIRE_SECONDS = 15
/** The pause for an unreachable recipient, so that its rows do not take the places of others. */
const BACK_OFF_MILLISECONDS = 5_000

/** Recipients with a running attempt, and recipients that were unreachable a moment ago. */
type BusyRecipients = Readonly<{ running: readonly string[]; backedOff: readonly string[] }>

/** A table of messages to deliver at least once. A lease gives an instance one attempt at a row. */
export type Outbox<Row> = Readonly<{
  /** The name of its jobs. */
  name: string
  /** A change notification of this table starts deliveries. */
  table: WatchedTable
  mostAtOnce: number
  claim(most: number, busy: BusyRecipients): Promise<Row[]>
  recipientOf(row: Row): string
  /**
   * Makes one attempt. It never rejects: a failed row stays in the outbox, and its lease is the pause before the next
   * attempt.
   *
   * @param backOff to be called when the recipient was unreachable.
   */
  deliver(row: Row, backOff: () => void): Promise<void>
  /** Deletes rows that are too old, and counts the others. */
  expire(): Promise<void>
}>

/**
 * Delivers the rows of an outbox: at once when any instance wrote a row, and again when a retry is due. Leases divide
 * the rows between instances; those of a crashed instance end by themselves.
 */
export function createDeliveries<Row>(
  outbox: Outbox<Row>,
  { notifications, log }: { notifications: Pick<ChangeNotifications, 'subscribe'>; log: Log },
): { jobs: Job[]; stop: () => Promise<void> } {
  const running = new Map<Promise<void>, string>()
  const backedOffUntil = new Map<string, number>()
  let claiming = Promise.resolve()
  let isClaimDue = false
  let isStopping = false

  notifications.subscribe(outbox.table, claimSoon)

  return {
    jobs: [
      { name: outbox.name, everySeconds: POLL_SECONDS, run: claim },
      { name: `${outbox.name}, expiry`, everySeconds: EXPIRE_SECONDS, run: () => outbox.expire() },
    ],
    /** Starts no more attempts, and waits for those that run. */
    async stop() {
      isStopping = true
      await claiming.catch(() => {})
      await Promise.all(running.keys())
    },
  }

  function claimSoon(): void {
    // Polling repeats it when the database is available again.
    claim().catch((error: unknown) =>
      log.debug({ event: 'outbox.delayed', outbox: outbox.name, ...toLogFields(error) }),
    )
  }

  /** Claims rows and starts their deliveries. A call during a claim schedules one more. */
  function claim(): Promise<void> {
    if (!isClaimDue) {
      isClaimDue = true
      claiming = claiming.catch(() => {}).then(claimNow)
    }
    return claiming
  }

  async function claimNow(): Promise<void> {
    isClaimDue = false
    const free = outbox.mostAtOnce - running.size
    if (free === 0 || isStopping) return
    for (const row of await outbox.claim(free, busyRecipients())) start(row)
  }

  function start(row: Row): void {
    const recipient = outbox.recipientOf(row)
    const backOff = () => void backedOffUntil.set(recipient, performance.now() + BACK_OFF_MILLISECONDS)
    const delivery = outbox.deliver(row, backOff).finally(() => {
      running.delete(delivery)
      claimSoon()
    })
    running.set(delivery, recipient)
  }

  function busyRecipients(): BusyRecipients {
    const now = performance.now()
    for (const [recipient, until] of backedOffUntil) if (until <= now) backedOffUntil.delete(recipient)
    return { running: [...running.values()], backedOff: [...backedOffUntil.keys()] }
  }
}

/** The fields of a failed attempt in the log. */
export function toLogFields(error: unknown): { error: string; cause?: string } {
  if (!(error instanceof Error)) return { error: String(error) }
  return {
    error: error.message,
    ...(error.cause instanceof Error ? { cause: error.cause.message } : {}),
  }
}
