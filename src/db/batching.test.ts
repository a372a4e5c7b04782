import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createBatcher } from './batching.ts'
import { isUnavailable } from './database-error.ts'

const fault = (code: string) => Object.assign(new Error('a fault'), { code })
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A statement that notes what it was given and ends when told. */
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

describe('items that come together', () => {
  test('share a statement, and each gets its own result', async () => {
    const { batches, run } = createStatement((items) => items.map((item) => item.toUpperCase()))
    const load = createBatcher(run)
    expect(await Promise.all(['a', 'b', 'a'].map(load))).toEqual(['A', 'B', 'A'])
    expect(batches).toEqual([['a', 'b', 'a']])
  })

  test('gather while a statement is in flight, and leave when it is back', async () => {
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

  test('do not wait behind a statement that is slow, until four are', async () => {
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

  test('give up their place after two seconds of waiting', async () => {
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

  test('give up their place after two seconds when more came at once than can leave', async () => {
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

  test('are two hundred a statement at most', async () => {
    const { batches, run } = createStatement()
    await Promise.all(Array.from({ length: 450 }, (_, index) => String(index)).map(createBatcher(run)))
    expect(batches.map(({ length }) => length)).toEqual([200, 200, 50])
  })
})

describe('a statement that fails', () => {
  test('for one bad item fails that item alone', async () => {
    const { run } = createStatement((items) => {
      if (items.includes('bad')) throw fault('22021')
      return items
    })
    const results = await Promise.allSettled(['a', 'bad', 'b'].map(createBatcher(run)))
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })

  test('for a row that somebody holds fails that item alone', async () => {
    const { run } = createStatement((items) => {
      if (items.includes('held')) throw fault('55P03')
      return items
    })
    const results = await Promise.allSettled(['a', 'held', 'b'].map(createBatcher(run)))
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })

  test.for(['40001', '40P01'])('because it lost to another transaction (%s) is sent again', async (code) => {
    let failures = 2
    const { run } = createStatement((items) => {
      if (failures-- > 0) throw fault(code)
      return items
    })
    expect(await createBatcher(run, { isRepeatable: false })('a')).toBe('a')
  })

  test('with its connection is sent again only if twice is the same as once', async () => {
    const failOnce = () => {
      let isFirst = true
      return createStatement((items) => {
        if (!isFirst) return items
        isFirst = false
        throw fault('57P01')
      })
    }
    expect(await createBatcher(failOnce().run)('a')).toBe('a')
    await expect(createBatcher(failOnce().run, { isRepeatable: false })('a')).rejects.toThrow('a fault')
  })

  test('because the database is away fails everybody at once, and is not tried for each', async () => {
    const statement = createStatement(() => {
      throw fault('ECONNREFUSED')
    })
    const results = await Promise.allSettled(['a', 'b', 'c'].map(createBatcher(statement.run)))
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(statement.batches).toHaveLength(1)
  })

  test('leaves the way free for those who come after', async () => {
    let isAway = true
    const { run } = createStatement((items) => {
      if (isAway) throw fault('ECONNREFUSED')
      return items
    })
    const load = createBatcher(run)
    await expect(load('a')).rejects.toThrow()
    isAway = false
    expect(await load('a')).toBe('a')
  })
})
