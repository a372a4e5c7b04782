import type { ChangeNotifications, WatchedTable } from '../db/change-notification.ts'
import type { Job } from '../jobs/scheduler.ts'
import type { Log } from '../log.ts'

/** For what nobody woke us for: an attempt that is due again, a notice that was lost. */
const LOOK_SECONDS = 3
const TIDY_SECONDS = 15
/** A receiver that cannot be reached is left alone this long: its other rows would only fill places of others. */
const REST_MILLISECONDS = 5_000

/** Who has enough to do: those that something is on its way to, and those that could not be reached a moment ago. */
export type Busy = Readonly<{ running: readonly string[]; resting: readonly string[] }>

/** Rows in the database that tell somebody something, at least once each; they are leased for one attempt at a time. */
export type Outbox<Due> = Readonly<{
  /** What its jobs are called. */
  name: string
  /** New rows in it wake us. */
  table: WatchedTable
  mostAtOnce: number
  /** Leases rows that are due. */
  claim(most: number, busy: Busy): Promise<Due[]>
  receiverOf(due: Due): string
  /**
   * One attempt. What fails stays in the outbox, and its lease is the pause before the next; so this rejects never.
   *
   * @param rest the receiver could not be reached.
   */
  deliver(due: Due, rest: () => void): Promise<void>
  /** Gives up what is too old, and counts what is left. */
  tidy(): Promise<void>
}>

/**
 * Works an outbox off: at once when a row was written anywhere, and again when an attempt is due. Instances share the
 * work by their leases; one that dies leaves rows whose leases end.
 */
export function createDeliveries<Due>(
  outbox: Outbox<Due>,
  { notifications, log }: { notifications: Pick<ChangeNotifications, 'subscribe'>; log: Log },
): { jobs: Job[]; stop: () => Promise<void> } {
  const running = new Map<Promise<void>, string>()
  const restsUntil = new Map<string, number>()
  let filling = Promise.resolve()
  let isWoken = false
  let isStopping = false

  notifications.subscribe(outbox.table, wake)

  return {
    jobs: [
      { name: outbox.name, everySeconds: LOOK_SECONDS, run: fill },
      { name: `${outbox.name}, tidying`, everySeconds: TIDY_SECONDS, run: () => outbox.tidy() },
    ],
    /** Starts nothing more; resolves when what is on its way was answered or cut off. */
    async stop() {
      isStopping = true
      await filling.catch(() => {})
      await Promise.all(running.keys())
    },
  }

  function wake(): void {
    // The next look finds what this one could not, when the database is there again.
    fill().catch((error: unknown) =>
      log.debug({ event: 'outbox.delayed', outbox: outbox.name, ...reasonOf(error) }),
    )
  }

  /** Fills the free places with rows that are due; who comes while that happens has it happen once more. */
  function fill(): Promise<void> {
    if (!isWoken) {
      isWoken = true
      filling = filling.catch(() => {}).then(fillPlaces)
    }
    return filling
  }

  async function fillPlaces(): Promise<void> {
    isWoken = false
    const free = outbox.mostAtOnce - running.size
    if (free === 0 || isStopping) return
    for (const due of await outbox.claim(free, busy())) start(due)
  }

  function start(due: Due): void {
    const receiver = outbox.receiverOf(due)
    const rest = () => void restsUntil.set(receiver, performance.now() + REST_MILLISECONDS)
    const delivery = outbox.deliver(due, rest).finally(() => {
      running.delete(delivery)
      wake()
    })
    running.set(delivery, receiver)
  }

  function busy(): Busy {
    const now = performance.now()
    for (const [receiver, until] of restsUntil) if (until <= now) restsUntil.delete(receiver)
    return { running: [...running.values()], resting: [...restsUntil.keys()] }
  }
}

/** What the log says of an attempt that failed. */
export function reasonOf(error: unknown): { error: string; cause?: string } {
  if (!(error instanceof Error)) return { error: String(error) }
  return {
    error: error.message,
    ...(error.cause instanceof Error ? { cause: error.cause.message } : {}),
  }
}
