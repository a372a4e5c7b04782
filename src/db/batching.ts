import { setTimeout as pause } from 'node:timers/promises'
import {
  isConflict,
  isConnectionLost,
  isUnavailable,
  mayConcernOneRow,
  QueueTimeoutError,
} from './database-error.ts'

/** The largest batch. It bounds how long one statement holds its locks. */
const MOST_ITEMS = 200
/**
 * One statement at a time makes the largest batches, which cost client and server least. After this time a statement
 * counts as slow, usually because it waits for a lock, and the next one is sent beside it.
 */
const SLOW_MILLISECONDS = 20
const MOST_IN_FLIGHT = 4
/** Items that waited this long are rejected, so that the queue stays short for a retry. */
const LONGEST_WAIT_MILLISECONDS = 2_000
const TRIES = 3
const JITTER_MILLISECONDS = 25

type Waiting<Item, Result> = {
  item: Item
  since: number
  resolve: (result: Result) => void
  reject: (error: unknown) => void
}

/**
 * Lets concurrent requests share statements. While no statement is in flight, an item is sent at the end of the current
 * turn of the event loop, together with the other items of that turn. While statements are in flight, items queue. Each
 * caller waits for the statement that carries its own item.
 *
 * (DataLoader batches by the turn, too, but it bounds neither the number in flight nor the effect of one bad key.)
 *
 * @param run executes one statement for several items and returns a result for each, in order. It is executed again
 *   after a deadlock or a serialization failure, and after a lost connection if `isIdempotent`: the outcome of the first
 *   execution is unknown then.
 * @returns a function that rejects with the error of its own item: when a statement fails for a reason that may lie in
 *   one item, each item is tried alone.
 */
export function createBatcher<Item, Result>(
  run: (items: readonly Item[]) => Promise<readonly Result[]>,
  { isIdempotent = true }: { isIdempotent?: boolean } = {},
): (item: Item) => Promise<Result> {
  const waiting: Waiting<Item, Result>[] = []
  let inFlight = 0
  let maySend = true
  let isScheduled = false
  let hasTimer = false

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, since: performance.now(), resolve, reject })
      if (isScheduled) return
      if (!maySend || inFlight >= MOST_IN_FLIGHT) {
        scheduleRejection(LONGEST_WAIT_MILLISECONDS)
        return
      }
      isScheduled = true
      setImmediate(sendNext)
    })

  function sendNext(): void {
    isScheduled = false
    if (waiting.length === 0 || !maySend || inFlight >= MOST_IN_FLIGHT) return
    inFlight++
    maySend = false
    let isSlow = false
    const slow = setTimeout(() => {
      isSlow = true
      maySend = true
      sendNext()
    }, SLOW_MILLISECONDS)
    const batch = waiting.splice(0, MOST_ITEMS)
    if (waiting.length > 0) scheduleRejection(LONGEST_WAIT_MILLISECONDS)
    void send(batch).finally(() => {
      clearTimeout(slow)
      inFlight--
      if (!isSlow) maySend = true
      sendNext()
    })
  }

  /** Rejects the items that have waited too long; the first in the queue has waited longest. */
  function rejectOverdue(): void {
    hasTimer = false
    const latest = performance.now() - LONGEST_WAIT_MILLISECONDS
    while (waiting[0] && waiting[0].since <= latest)
      waiting
        .shift()
        ?.reject(new QueueTimeoutError('waited too long for a statement: the database is too slow'))
    const next = waiting[0]
    if (next) scheduleRejection(next.since - latest)
  }

  function scheduleRejection(milliseconds: number): void {
    if (hasTimer) return
    hasTimer = true
    setTimeout(rejectOverdue, milliseconds)
  }

  async function send(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await runWithRetry(batch.map(({ item }) => item))
      batch.forEach(({ resolve }, index) => {
        resolve(results[index] as Result)
      })
    } catch (error) {
      if (batch.length > 1 && mayConcernOneRow(error)) await Promise.all(batch.map((one) => send([one])))
      else for (const { reject } of batch) reject(error)
    }
  }

  async function runWithRetry(items: readonly Item[]): Promise<readonly Result[]> {
    for (let tries = 1; ; tries++) {
      try {
        return await run(items)
      } catch (error) {
        const mayTryAgain = isConflict(error) || (isIdempotent && isConnectionLost(error))
        if (!mayTryAgain || tries >= TRIES || !isUnavailable(error)) throw error
        await pause(tries * JITTER_MILLISECONDS * (0.5 + Math.random()))
      }
    }
  }
}

/**
 * Creates a look-up of rows by the hash of their identifier. Concurrent callers share one statement.
 *
 * @param find executes the statement for several hashes.
 * @param toFound converts a row for one caller.
 */
export function createLookup<Row extends { id_hash: Uint8Array }, Found>(
  find: (idHashes: readonly Uint8Array[]) => Promise<readonly Row[]>,
  toFound: (row: Row) => Found,
): (idHash: Uint8Array) => Promise<Found | undefined> {
  return createBatcher(async (idHashes) => {
    const rows = new Map((await find(idHashes)).map((row) => [hexOf(row.id_hash), row]))
    return idHashes.map((idHash) => {
      const row = rows.get(hexOf(idHash))
      return row && toFound(row)
    })
  })
}

/** Converts bytes to a key of a map. */
export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
