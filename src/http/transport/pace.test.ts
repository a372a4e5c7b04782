import { setImmediate as turn } from 'node:timers/promises'
import type { Context, Next } from 'koa'
import { expect, test } from 'vitest'
import { startOnePageAtATime } from './pace.ts'

const NO_CONTEXT = {} as Context

test('of requests that come at once one begins each turn of the loop, in the order they came', async () => {
  const pace = startOnePageAtATime()
  const begun: number[] = []
  const never = new Promise<void>(() => {})
  for (const index of [0, 1, 2])
    void pace(NO_CONTEXT, () => {
      begun.push(index)
      // One that takes long keeps nobody waiting.
      return index === 0 ? never : Promise.resolve()
    })
  expect(begun).toEqual([])
  for (const expected of [[0], [0, 1], [0, 1, 2]]) {
    await turn()
    expect(begun).toEqual(expected)
  }
})

test('one that fails is the fault of nobody else', async () => {
  const pace = startOnePageAtATime()
  const failing: Next = () => Promise.reject(new Error('a fault of the test'))
  const failed = pace(NO_CONTEXT, failing)
  const fine = pace(NO_CONTEXT, async () => {})
  await expect(failed).rejects.toThrow('a fault of the test')
  await expect(fine).resolves.toBeUndefined()
})
