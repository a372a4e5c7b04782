import { setTimeout as pause } from 'node:timers/promises'
import {
  isConflict,
  isConnectionLost,
  isUnavailable,
  mayBeOneRow,
  WaitedTooLongError,
} from './database-error.ts'

/** Rows that share a statement at most: a bound on how long it holds its locks. */
const MOST_ITEMS = 200
/**
 * One statement at a time makes the largest batches, which cost both sides least. One that is slow, because it waits
 * for a lock, lets the next one go after this time …
 */
const SLOW_MILLISECONDS = 20
/** … until so many are slow. */
const MOST_IN_FLIGHT = 4
/** Whoever has waited this long for their turn is told so: the client's next try finds a shorter queue. */
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
 * Lets concurrent requests share statements. While nothing is in flight an item leaves in the same turn of the event
 * loop, with whatever else that turn brought; while statements are in flight, items gather. Everybody waits for the
 * statement that carries their own item.
 *
 * (DataLoader gathers by the turn too, but bounds neither what is in flight nor what one bad key does to the others.)
 *
 * @param run one statement for several items; gives a result for each, in order. A statement that lost to another
 *   transaction is sent again. With `isRepeatable` one whose connection was lost is, too: its outcome is not known, so
 *   doing it twice must be the same as doing it once.
 * @returns a function that rejects with the fault of its own item: when a statement fails for a reason that may lie
 *   in one item, each is tried alone.
 */
export function createBatcher<Item, Result>(
  run: (items: readonly Item[]) => Promise<readonly Result[]>,
  { isRepeatable = true }: { isRepeatable?: boolean } = {},
): (item: Item) => Promise<Result> {
  const waiting: Waiting<Item, Result>[] = []
  let inFlight = 0
  let isWayFree = true
  let isDue = false
  let isWatched = false

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, since: performance.now(), resolve, reject })
      if (isDue) return
      if (!isWayFree || inFlight >= MOST_IN_FLIGHT) {
        watchQueue(LONGEST_WAIT_MILLISECONDS)
        return
      }
      isDue = true
      setImmediate(depart)
    })

  function depart(): void {
    isDue = false
    if (waiting.length === 0 || !isWayFree || inFlight >= MOST_IN_FLIGHT) return
    inFlight++
    isWayFree = false
    let isSlow = false
    const slow = setTimeout(() => {
      isSlow = true
      isWayFree = true
      depart()
    }, SLOW_MILLISECONDS)
    const batch = waiting.splice(0, MOST_ITEMS)
    if (waiting.length > 0) watchQueue(LONGEST_WAIT_MILLISECONDS)
    void fly(batch).finally(() => {
      clearTimeout(slow)
      inFlight--
      if (!isSlow) isWayFree = true
      depart()
    })
  }

  /** The first in the queue have waited longest. */
  function giveUp(): void {
    isWatched = false
    const latest = performance.now() - LONGEST_WAIT_MILLISECONDS
    while (waiting[0] && waiting[0].since <= latest)
      waiting.shift()?.reject(new WaitedTooLongError('the database is too slow for the queue before it'))
    const next = waiting[0]
    if (next) watchQueue(next.since - latest)
  }

  function watchQueue(milliseconds: number): void {
    if (isWatched) return
    isWatched = true
    setTimeout(giveUp, milliseconds)
  }

  async function fly(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await persist(batch.map(({ item }) => item))
      batch.forEach(({ resolve }, index) => {
        resolve(results[index] as Result)
      })
    } catch (error) {
      if (batch.length > 1 && mayBeOneRow(error)) await Promise.all(batch.map((one) => fly([one])))
      else for (const { reject } of batch) reject(error)
    }
  }

  async function persist(items: readonly Item[]): Promise<readonly Result[]> {
    for (let tries = 1; ; tries++) {
      try {
        return await run(items)
      } catch (error) {
        const mayTryAgain = isConflict(error) || (isRepeatable && isConnectionLost(error))
        if (!mayTryAgain || tries >= TRIES || !isUnavailable(error)) throw error
        await pause(tries * JITTER_MILLISECONDS * (0.5 + Math.random()))
      }
    }
  }
}
