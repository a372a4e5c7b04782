import { describe, expect, test } from 'vitest'
import { measureClock } from './database-clock.ts'

const DAY = 86_400_000

/** A machine, its database, and the latency between them, in milliseconds. */
function machine() {
  const state = { elapsed: 5_000, wallAhead: 0, delay: 0, reads: 0, isAway: false }
  const databaseTime = () => DAY + state.elapsed
  const needs = {
    async readTime() {
      state.reads++
      if (state.isAway) throw new Error('the database is away')
      state.elapsed += state.delay / 2
      const time = databaseTime()
      state.elapsed += state.delay / 2
      return time
    },
    wallClock: () => new Date(databaseTime() + state.wallAhead),
    monotonic: () => state.elapsed,
  }
  return { state, databaseTime, needs }
}

describe('the clock', () => {
  test('returns the database’s time for any offset of the machine’s clock', async () => {
    for (const wallAhead of [0, 5_000, -120_000, DAY, -DAY]) {
      const { state, databaseTime, needs } = machine()
      state.wallAhead = wallAhead
      state.delay = 40
      const clock = await measureClock(needs)
      state.elapsed += 30_000
      expect(clock.now().getTime()).toBe(databaseTime())
      expect(clock.distanceSeconds()).toBe(wallAhead / 1000)
    }
  })

  test('follows the monotonic clock when the wall clock is set, and detects the jump', async () => {
    const { state, databaseTime, needs } = machine()
    const clock = await measureClock(needs)
    expect(clock.hasJumped()).toBe(false)
    state.wallAhead = DAY
    expect(clock.hasJumped()).toBe(true)
    expect(clock.now().getTime()).toBe(databaseTime())
    await clock.measure()
    expect(clock.hasJumped()).toBe(false)
    expect(clock.distanceSeconds()).toBe(86_400)
  })

  test('is correct again after a suspend, which the monotonic clock does not count', async () => {
    const { state, needs } = machine()
    let slept = 0
    const sleeping = {
      ...needs,
      readTime: async () => (await needs.readTime()) + slept,
      wallClock: () => new Date(needs.wallClock().getTime() + slept),
    }
    const clock = await measureClock(sleeping)
    slept = 3 * DAY
    expect(clock.hasJumped()).toBe(true)
    await clock.measure()
    expect(clock.now().getTime()).toBe(DAY + state.elapsed + slept)
    expect(clock.distanceSeconds()).toBe(0)
  })

  test('detects a suspend during a measurement', async () => {
    const { state, needs } = machine()
    let slept = 0
    let sleepsAt = Number.NaN
    const clock = await measureClock({
      ...needs,
      async readTime() {
        const time = (await needs.readTime()) + slept
        if (state.reads === sleepsAt) slept = 3 * DAY
        return time
      },
      wallClock: () => new Date(needs.wallClock().getTime() + slept),
    })
    sleepsAt = state.reads + 3
    await clock.measure()
    expect(clock.hasJumped()).toBe(true)
    await clock.measure()
    expect(clock.now().getTime()).toBe(DAY + state.elapsed + slept)
  })

  test('keeps a precise measurement when a late answer agrees with it', async () => {
    const { state, databaseTime, needs } = machine()
    let late = 0
    const clock = await measureClock({
      ...needs,
      async readTime() {
        const time = await needs.readTime()
        state.elapsed += late
        return time
      },
    })
    late = 2_000
    await clock.measure()
    expect(clock.now().getTime()).toBe(databaseTime())
  })

  test('keeps the last measurement while the database is away', async () => {
    const { state, databaseTime, needs } = machine()
    const clock = await measureClock(needs)
    state.isAway = true
    await expect(clock.measure()).rejects.toThrow('away')
    state.elapsed += 60_000
    expect(clock.now().getTime()).toBe(databaseTime())
    state.isAway = false
    await clock.measure()
  })

  test('shares one measurement between concurrent calls', async () => {
    const { state, needs } = machine()
    const clock = await measureClock(needs)
    state.reads = 0
    await Promise.all([clock.measure(), clock.measure(), clock.measure()])
    expect(state.reads).toBe(3)
  })
})
