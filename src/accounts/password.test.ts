import { setTimeout as pause } from 'node:timers/promises'
import { hash } from 'argon2'
import { describe, expect, test } from 'vitest'
import { createPasswordHasher, createPasswordQueue, isPossiblePassword } from './password.ts'

describe('the hasher', () => {
  const hasher = createPasswordHasher()

  test('verifies the whole password against its hash', async () => {
    const stored = await hasher.hash(`${'x'.repeat(80)}a`)
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=19456,(t=2,p=1|p=1,t=2)\$/)
    expect(await hasher.verify(stored, `${'x'.repeat(80)}a`)).toBe(true)
    expect(await hasher.verify(stored, `${'x'.repeat(80)}b`)).toBe(false)
  })

  test('verifies the last of 1,024 characters (OWASP ASVS 6.2.9)', async () => {
    const stored = await hasher.hash(`${'ü'.repeat(1023)}a`)
    expect(await hasher.verify(stored, `${'ü'.repeat(1023)}a`)).toBe(true)
    expect(await hasher.verify(stored, `${'ü'.repeat(1023)}b`)).toBe(false)
  })

  test('rejects a password without a hash in the time that a hash takes', async () => {
    expect(await hasher.verify(undefined, 'anything at all')).toBe(false)
    const stored = await hasher.hash('velvet kettle harbor nineteen')
    const ratio = await ratioOfLeastTimes(
      () => hasher.verify(undefined, 'anything at all'),
      () => hasher.verify(stored, 'anything at all'),
      isAbout1,
    )
    expect(ratio).toSatisfy(isAbout1)
  }, 30_000)

  test('reports a hash with other parameters or another Argon2 variant as outdated', async () => {
    expect(hasher.isOutdated(await hash('x', { memoryCost: 8192, timeCost: 1 }))).toBe(true)
    expect(hasher.isOutdated(await hash('x', { type: 1, memoryCost: 19_456, timeCost: 2 }))).toBe(true)
    expect(hasher.isOutdated(await hasher.hash('x'))).toBe(false)
  })

  test('hashes no more passwords at once than allowed', async () => {
    const single = createPasswordHasher({ atOnce: 1 })
    const order: number[] = []
    await Promise.all([1, 2, 3].map((index) => single.hash('x').then(() => order.push(index))))
    expect(order).toEqual([1, 2, 3])
  })

  test('leaves the event loop free', async () => {
    const { hash } = createPasswordHasher()
    let ticks = 0
    const ticking = setInterval(() => ticks++, 1)
    await Promise.all([1, 2, 3, 4].map(() => hash('x')))
    clearInterval(ticking)
    // A blocked loop would count none. The number depends on the load of the machine.
    expect(ticks).toBeGreaterThan(2)
  })
})

describe('the password queue', () => {
  const job = { network: '203.0.113.1', path: [], isGone: () => false }
  const slow = () => pause(5)
  /** Each from another network. */
  const crowd = (count: number, isKnown: boolean) =>
    Array.from({ length: count }, (_, index) => ({ ...job, network: `198.51.100.${index}`, isKnown }))

  test('refuses jobs beyond its places', async () => {
    const queue = createPasswordQueue()
    const results = await Promise.all(crowd(100, false).map((one) => queue.run(one, slow)))
    expect(results.filter(({ outcome }) => outcome === 'done')).toHaveLength(65)
    expect(results.filter(({ outcome }) => outcome === 'full')).toHaveLength(35)
  })

  test('answers jobs that waited for too long', async () => {
    const queue = createPasswordQueue({ waitAtMostMilliseconds: 10 })
    const results = await Promise.all(crowd(30, false).map((one) => queue.run(one, () => pause(30))))
    expect(results.filter(({ outcome }) => outcome === 'expired').length).toBeGreaterThan(20)
    expect((await queue.run(job, slow)).outcome).toBe('done')
  })

  test('keeps places for jobs with a device cookie and starts them first', async () => {
    const queue = createPasswordQueue()
    const order: string[] = []
    const others = crowd(70, false).map((one) => queue.run(one, async () => order.push('other')))
    const known = await queue.run({ ...job, isKnown: true }, async () => order.push('known'))
    await Promise.all(others)
    expect(known.outcome).toBe('done')
    expect(order.indexOf('known')).toBeLessThanOrEqual(2)
  })

  test.each([
    [true, 320],
    [false, 32],
  ])(
    'keeps half of its places and running jobs for other networks (known: %s)',
    async (isKnown, mostWaiting) => {
      const queue = createPasswordQueue()
      let running = 0
      let most = 0
      const work = async () => {
        most = Math.max(most, ++running)
        await pause(5)
        running--
      }
      const flood = Array.from({ length: mostWaiting + 8 }, () =>
        queue.run({ ...job, network: '2001:db8:1::/48', isKnown }, work),
      )
      const other = await queue.run({ ...job, isKnown }, async () => running)
      const outcomes = (await Promise.all(flood)).map(({ outcome }) => outcome)
      expect(outcomes.filter((outcome) => outcome === 'full')).toHaveLength(7)
      expect(other).toMatchObject({ outcome: 'done' })
      expect(most).toBeLessThanOrEqual(3)
    },
  )
})

test('recognises the passwords that can have been chosen, also in decomposed letters', () => {
  expect(isPossiblePassword('')).toBe(false)
  expect(isPossiblePassword('a'.repeat(1_000_000))).toBe(false)
  expect(isPossiblePassword('a'.repeat(1025))).toBe(false)
  expect(isPossiblePassword('old short')).toBe(true)
  expect(isPossiblePassword('한'.normalize('NFD').repeat(1024))).toBe(true)
  expect(isPossiblePassword('ế'.normalize('NFD').repeat(1024))).toBe(true)
})

const isAbout1 = (ratio: number) => ratio > 0.7 && ratio < 1.4

/** The ratio of the least times of two functions that run in turn: noise only adds, so a loaded machine needs more rounds. */
async function ratioOfLeastTimes(
  one: () => Promise<unknown>,
  other: () => Promise<unknown>,
  isEnough: (ratio: number) => boolean,
): Promise<number> {
  const least: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  let ratio = Number.NaN
  for (let round = 0; round < 60 && !(round >= 6 && isEnough(ratio)); round++) {
    for (const [index, work] of [one, other].entries()) {
      const startedAt = performance.now()
      await work()
      least[index] = Math.min(least[index] ?? 0, performance.now() - startedAt)
      await pause(1)
    }
    ratio = least[0] / least[1]
  }
  return ratio
}
