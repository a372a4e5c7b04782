import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createKeyedQueue } from './keyed-queue.ts'

test('those of one key go one after another, those of another do not wait', async () => {
  const { take: takeTurn } = createKeyedQueue({ waitingAtMost: 5 })
  const order: string[] = []
  const slow = async (name: string) => {
    order.push(`${name} begins`)
    await pause(20)
    order.push(`${name} ends`)
    return name
  }
  const done = await Promise.all([
    takeTurn('ada', () => slow('first')),
    takeTurn('ada', () => slow('second')),
    takeTurn('bob', () => slow('other')),
  ])
  expect(done).toEqual(['first', 'second', 'other'])
  expect(order.indexOf('second begins')).toBeGreaterThan(order.indexOf('first ends'))
  expect(order.indexOf('other begins')).toBeLessThan(order.indexOf('first ends'))
})

test('who comes to a full line is not let in; a fault lets the next one in', async () => {
  const { take: takeTurn, countWaiting } = createKeyedQueue({ waitingAtMost: 1 })
  const failing = takeTurn('ada', () => Promise.reject(new Error('a fault of the test')))
  const waiting = takeTurn('ada', async () => 'waited')
  expect(await takeTurn('ada', async () => 'too many')).toBeUndefined()
  expect(countWaiting()).toBe(1)
  await expect(failing).rejects.toThrow('a fault of the test')
  expect(await waiting).toBe('waited')
  expect(await takeTurn('ada', async () => 'free again')).toBe('free again')
  expect(countWaiting()).toBe(0)
})
