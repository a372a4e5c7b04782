import { setTimeout as pause } from 'node:timers/promises'
import { hash } from 'argon2'
import { describe, expect, test } from 'vitest'
import { createPasswordHasher, HashingBusyError, isPossiblePassword } from './password.ts'

describe('the hasher', () => {
  const hasher = createPasswordHasher()

  test('verifies what it hashed, whole', async () => {
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

  test('takes a decoy when there is no hash, says no, and takes as long as with one', async () => {
    expect(await hasher.verify(undefined, 'anything at all')).toBe(false)
    const stored = await hasher.hash('velvet kettle harbor nineteen')
    const ratio = await ratioOfLeastTimes(
      () => hasher.verify(undefined, 'anything at all'),
      () => hasher.verify(stored, 'anything at all'),
      isAbout1,
    )
    expect(ratio).toSatisfy(isAbout1)
  }, 30_000)

  test('knows a hash made with other parameters, or another Argon2', async () => {
    expect(hasher.isOutdated(await hash('x', { memoryCost: 8192, timeCost: 1 }))).toBe(true)
    expect(hasher.isOutdated(await hash('x', { type: 1, memoryCost: 19_456, timeCost: 2 }))).toBe(true)
    expect(hasher.isOutdated(await hasher.hash('x'))).toBe(false)
  })

  test('refuses work beyond its queue', async () => {
    const small = createPasswordHasher({ atOnce: 1, waitingAtMost: 1 })
    const results = await Promise.allSettled([1, 2, 3, 4].map(() => small.hash('x')))
    const refused = results.filter((result) => result.status === 'rejected')
    expect(refused).toHaveLength(2)
    expect(refused.every(({ reason }) => reason instanceof HashingBusyError)).toBe(true)
  })

  test('lets nobody wait for long', async () => {
    const impatient = createPasswordHasher({ atOnce: 1, waitAtMostMilliseconds: 1 })
    const results = await Promise.allSettled([1, 2, 3].map(() => impatient.hash('x')))
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
    expect(await impatient.hash('x')).toMatch(/^\$argon2id\$/)
  })

  test('spends no turn on who went away while waiting', async () => {
    const single = createPasswordHasher({ atOnce: 1 })
    const stored = await single.hash('x')
    const gone = { value: false }
    const first = single.verify(stored, 'x')
    const second = single.verify(stored, 'x', { isGone: () => gone.value })
    gone.value = true
    expect(await first).toBe(true)
    await expect(second).rejects.toThrow(HashingBusyError)
  })

  test('takes who is known before a crowd of strangers', async () => {
    const hasher = createPasswordHasher({ atOnce: 1, waitingAtMost: 8 })
    const order: string[] = []
    const crowd = Array.from({ length: 9 }, () =>
      hasher.verify(undefined, 'x').then(() => order.push('stranger')),
    )
    await expect(hasher.verify(undefined, 'one too many')).rejects.toThrow(HashingBusyError)
    expect([hasher.isFull(), hasher.isFull({ isKnown: true })]).toEqual([true, false])
    await hasher.verify(undefined, 'x', { isKnown: true }).then(() => order.push('known'))
    await Promise.all(crowd)
    expect(order.indexOf('known')).toBeLessThanOrEqual(2)
  })

  test.each([[true], [false]])(
    'serves other networks between the passwords of one network (known: %s)',
    async (isKnown) => {
      const hasher = createPasswordHasher({ atOnce: 1, waitingAtMost: 20 })
      const order: string[] = []
      const verify = (network: string) =>
        hasher.verify(undefined, 'x', { isKnown, network }).then(() => order.push(network))
      const crowd = Array.from({ length: 11 }, () => verify('2001:db8:1::/48'))
      await expect(verify('2001:db8:1::/48')).rejects.toThrow(HashingBusyError)
      expect(hasher.isFull({ isKnown, network: '2001:db8:1::/48' })).toBe(true)
      expect(hasher.isFull({ isKnown, network: '203.0.113.1' })).toBe(false)
      await verify('203.0.113.1')
      await Promise.all(crowd)
      expect(order.indexOf('203.0.113.1')).toBeLessThanOrEqual(2)
    },
  )

  test('leaves the event loop free', async () => {
    const { hash } = createPasswordHasher()
    let ticks = 0
    const ticking = setInterval(() => ticks++, 1)
    await Promise.all([1, 2, 3, 4].map(() => hash('x')))
    clearInterval(ticking)
    // Were it not free, there would be none; how many depends on what else the machine does.
    expect(ticks).toBeGreaterThan(2)
  })
})

test('what nobody can have chosen is not hashed; what many keys composed is', () => {
  expect(isPossiblePassword('')).toBe(false)
  expect(isPossiblePassword('a'.repeat(1_000_000))).toBe(false)
  expect(isPossiblePassword('a'.repeat(1025))).toBe(false)
  expect(isPossiblePassword('old short')).toBe(true)
  expect(isPossiblePassword('한'.normalize('NFD').repeat(1024))).toBe(true)
  expect(isPossiblePassword('ế'.normalize('NFD').repeat(1024))).toBe(true)
})

const isAbout1 = (ratio: number) => ratio > 0.7 && ratio < 1.4

/** Of the least times of the two, taken in turn: noise only adds, so on a busy machine they are known after more rounds. */
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
