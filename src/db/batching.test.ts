import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createBatcher } from './batching.ts'
import { isUnavailable } from './database-error.ts'

const databaseError = (code: string) => Object.assign(new Error('a database error'), { code })
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A fake statement: it records its batches, and can be held and released. */
function createStatement(answer: (items: readonly string[]) => readonly string[] = (items) => items) {
  const batches: string[][] = []
  const open: (() => void)[] = []
  let isHeld = false
  const run = async (items: readonly string[]) => {
    batches.push([...items])
    if (isHeld) await new Promise<void>((resolve) => open.push(resolve))
    return answer(items)
  }
  return {
    batches,
    run,
    hold: () => {
      isHeld = true
    },
    release: () => {
      isHeld = false
      for (const resolve of open.splice(0)) resolve()
    },
  }
}

describe('a batcher', () => {
  test('sends the items of one turn in one statement, and returns to each its own result', async () => {
    const { batches, run } = createStatement((items) => items.map((item) => item.toUpperCase()))
    const load = createBatcher(run)
    expect(await Promise.all(['a', 'b', 'a'].map(load))).toEqual(['A', 'B', 'A'])
    expect(batches).toEqual([['a', 'b', 'a']])
  })

  test('queues items while a statement is in flight, and sends them after it', async () => {
    const { batches, run, hold, release } = createStatement()
    const load = createBatcher(run)
    hold()
    const all = []
    for (const item of ['a', 'b', 'c', 'd']) {
      all.push(load(item))
      await turn()
    }
    expect(batches).toEqual([['a']])
    release()
    expect(await Promise.all(all)).toEqual(['a', 'b', 'c', 'd'])
    expect(batches.slice(1)).toEqual([['b', 'c', 'd']])
  })

  test('sends the next statement beside a slow one, up to four', async () => {
    const { batches, run, hold, release } = createStatement()
    const load = createBatcher(run)
    hold()
    const all = []
    for (const item of ['a', 'b', 'c', 'd', 'e', 'f']) {
      all.push(load(item))
      await pause(40)
    }
    expect(batches).toEqual([['a'], ['b'], ['c'], ['d']])
    release()
    expect(await Promise.all(all)).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
    expect(batches.slice(4)).toEqual([['e', 'f']])
  })

  test('rejects an item that waited two seconds in the queue', async () => {
    const { run, hold, release } = createStatement()
    const load = createBatcher(run)
    hold()
    const held = []
    for (const item of ['a', 'b', 'c', 'd']) {
      held.push(load(item))
      await pause(40)
    }
    const startedAt = performance.now()
    const error: unknown = await load('e').catch((reason: unknown) => reason)
    expect(isUnavailable(error)).toBe(true)
    expect(performance.now() - startedAt).toBeGreaterThan(1_900)
    release()
    expect(await Promise.all(held)).toEqual(['a', 'b', 'c', 'd'])
    expect(await load('f')).toBe('f')
  })

  test('rejects after two seconds the items that exceed four full batches', async () => {
    const { batches, run, hold, release } = createStatement()
    const load = createBatcher(run)
    hold()
    const settled = Promise.allSettled(Array.from({ length: 1_000 }, (_, index) => load(String(index))))
    await pause(2_200)
    release()
    const statuses = (await settled).map(({ status }) => status)
    expect(statuses.slice(0, 800)).not.toContain('rejected')
    expect(statuses.slice(800)).not.toContain('fulfilled')
    expect(batches).toHaveLength(4)
  })

  test('sends at most two hundred items in one statement', async () => {
    const { batches, run } = createStatement()
    await Promise.all(Array.from({ length: 450 }, (_, index) => String(index)).map(createBatcher(run)))
    expect(batches.map(({ length }) => length)).toEqual([200, 200, 50])
  })
})

describe('a batcher whose statement fails', () => {
  test('rejects only the item with bad data', async () => {
    const { run } = createStatement((items) => {
      if (items.includes('bad')) throw databaseError('22021')
      return items
    })
    const results = await Promise.allSettled(['a', 'bad', 'b'].map(createBatcher(run)))
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })

  test('rejects only the item whose row is locked', async () => {
    const { run } = createStatement((items) => {
      if (items.includes('held')) throw databaseError('55P03')
      return items
    })
    const results = await Promise.allSettled(['a', 'held', 'b'].map(createBatcher(run)))
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })

  test.for(['40001', '40P01'])('retries after a lost conflict (%s)', async (code) => {
    let failures = 2
    const { run } = createStatement((items) => {
      if (failures-- > 0) throw databaseError(code)
      return items
    })
    expect(await createBatcher(run, { isIdempotent: false })('a')).toBe('a')
  })

  test('retries after a lost connection only an idempotent statement', async () => {
    const failOnce = () => {
      let isFirst = true
      return createStatement((items) => {
        if (!isFirst) return items
        isFirst = false
        throw databaseError('57P01')
      })
    }
    expect(await createBatcher(failOnce().run)('a')).toBe('a')
    await expect(createBatcher(failOnce().run, { isIdempotent: false })('a')).rejects.toThrow(
      'a database error',
    )
  })

  test('rejects every item at once when the database is unavailable', async () => {
    const statement = createStatement(() => {
      throw databaseError('ECONNREFUSED')
    })
    const results = await Promise.allSettled(['a', 'b', 'c'].map(createBatcher(statement.run)))
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(statement.batches).toHaveLength(1)
  })

  test('executes later items after a failure', async () => {
    let isAway = true
    const { run } = createStatement((items) => {
      if (isAway) throw databaseError('ECONNREFUSED')
      return items
    })
    const load = createBatcher(run)
    await expect(load('a')).rejects.toThrow()
    isAway = false
    expect(await load('a')).toBe('a')
  })
})
