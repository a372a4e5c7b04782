import { setTimeout as pause } from 'node:timers/promises'
import { isConflict, isConnectionLost, isUnavailable, mayBeOneRow } from './fault.ts'

/** Rows that share a statement at most: a bound on how long it holds its locks. */
const MOST_ITEMS = 200
/**
 * One statement at a time makes the largest batches, which cost both sides least. One that is slow, because it waits
 * for a lock, lets the next one go after this time …
 */
const SLOW_MILLISECONDS = 20
/** … until so many are slow. */
const MOST_IN_FLIGHT = 4
const TRIES = 3
const JITTER_MILLISECONDS = 25

type Waiting<Item, Result> = {
  item: Item
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

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      if (isDue || !isWayFree || inFlight >= MOST_IN_FLIGHT) return
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
    void fly(waiting.splice(0, MOST_ITEMS)).finally(() => {
      clearTimeout(slow)
      inFlight--
      if (!isSlow) isWayFree = true
      depart()
    })
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
