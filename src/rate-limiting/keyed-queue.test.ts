import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createKeyedQueue, type Place } from './keyed-queue.ts'

const of = (key: string, mostWaiting?: number): Place => ({
  keys: [{ key, atOnce: 1, ...(mostWaiting === undefined ? {} : { mostWaiting }) }],
  path: [key],
})

test('runs the jobs of one key one after another and those of other keys beside them', async () => {
  const queue = createKeyedQueue()
  const order: string[] = []
  const slow = async (name: string) => {
    order.push(`${name} begins`)
    await pause(20)
    order.push(`${name} ends`)
    return name
  }
  const done = await Promise.all([
    queue.run(of('ada'), () => slow('first')),
    queue.run(of('ada'), () => slow('second')),
    queue.run(of('bob'), () => slow('other')),
  ])
  expect(done).toEqual(['first', 'second', 'other'].map((result) => ({ outcome: 'done', result })))
  expect(order.indexOf('second begins')).toBeGreaterThan(order.indexOf('first ends'))
  expect(order.indexOf('other begins')).toBeLessThan(order.indexOf('first ends'))
})

test('refuses a job when as many wait for its key as may, and starts the next after a failure', async () => {
  const queue = createKeyedQueue()
  const failing = queue.run(of('ada', 1), () => Promise.reject(new Error('a failure of the test')))
  const waiting = queue.run(of('ada', 1), async () => 'waited')
  expect(await queue.run(of('ada', 1), async () => 'too many')).toEqual({ outcome: 'full', key: 'ada' })
  await expect(failing).rejects.toThrow('a failure of the test')
  expect(await waiting).toEqual({ outcome: 'done', result: 'waited' })
  expect(await queue.run(of('ada', 1), async () => 'again')).toEqual({ outcome: 'done', result: 'again' })
})

test('runs no more jobs of all keys at once than allowed', async () => {
  const queue = createKeyedQueue({ atOnce: 2 })
  let running = 0
  let most = 0
  const work = async () => {
    most = Math.max(most, ++running)
    await pause(5)
    running--
  }
  await Promise.all(Array.from({ length: 6 }, (_, index) => queue.run(of(String(index)), work)))
  expect(most).toBe(2)
})

test('starts jobs with priority before all others', async () => {
  const queue = createKeyedQueue({ atOnce: 1 })
  const order: string[] = []
  const crowd = Array.from({ length: 9 }, (_, index) =>
    queue.run(of(`other ${index}`), async () => order.push('other')),
  )
  await queue.run({ keys: [], hasPriority: true }, async () => order.push('known'))
  await Promise.all(crowd)
  expect(order.indexOf('known')).toBe(1)
})

test.each([[true], [false]])(
  'starts jobs of other networks and of other devices between the jobs of one (priority: %s)',
  async (hasPriority) => {
    const queue = createKeyedQueue({ atOnce: 1 })
    const order: string[] = []
    const run = (...path: string[]) =>
      queue.run({ keys: [], hasPriority, path }, async () => order.push(path.join(', ')))
    const crowd = Array.from({ length: 11 }, () => run('one network', 'one device'))
    await Promise.all([...crowd, run('one network', 'another device'), run('another network', 'a device')])
    expect(order.indexOf('another network, a device')).toBe(2)
    expect(order.indexOf('one network, another device')).toBe(3)
  },
)

test('answers a job that waited for too long without starting it', async () => {
  const queue = createKeyedQueue({ atOnce: 1, waitAtMostMilliseconds: 5 })
  const slow = queue.run({ keys: [] }, () => pause(30))
  expect(await queue.run({ keys: [] }, async () => 'late')).toEqual({ outcome: 'expired' })
  expect((await slow).outcome).toBe('done')
  expect((await queue.run({ keys: [] }, async () => {})).outcome).toBe('done')
})

test('does not start a job whose client disconnected while it waited', async () => {
  const queue = createKeyedQueue({ atOnce: 1 })
  let isGone = false
  const first = queue.run({ keys: [] }, () => pause(5))
  const second = queue.run({ keys: [], isGone: () => isGone }, async () => 'started')
  isGone = true
  expect((await first).outcome).toBe('done')
  expect(await second).toEqual({ outcome: 'expired' })
})

test('frees the place of a job that pauses, keeps its first key, and continues it before the next', async () => {
  const queue = createKeyedQueue({ atOnce: 1 })
  const order: string[] = []
  const first = queue.run(of('ada'), async (pause) => {
    order.push('first')
    expect(await pause(10)).toBe(true)
    order.push('first again')
  })
  const second = queue.run(of('ada'), async () => order.push('second'))
  const other = queue.run(of('bob'), async () => order.push('other'))
  await Promise.all([first, second, other])
  expect(order).toEqual(['first', 'other', 'first again', 'second'])
})

test('ends the pause of a job that expires, and frees its key', async () => {
  const queue = createKeyedQueue({ waitAtMostMilliseconds: 5 })
  const first = queue.run(of('ada'), (pause) => pause(10))
  expect(await first).toEqual({ outcome: 'done', result: false })
  expect((await queue.run(of('ada'), async () => {})).outcome).toBe('done')
})

test('starts one paced job per turn of the event loop, in order of arrival, and other jobs at once', async () => {
  const queue = createKeyedQueue()
  const started: (number | string)[] = []
  const never = new Promise<void>(() => {})
  for (const index of [0, 1, 2])
    void queue.run({ keys: [], isPaced: true }, () => {
      started.push(index)
      return index === 0 ? never : Promise.resolve()
    })
  void queue.run(of('other'), async () => started.push('not paced'))
  await nextTurn()
  expect(started).toEqual([0, 'not paced', 1])
  await nextTurn()
  expect(started).toEqual([0, 'not paced', 1, 2])
})
