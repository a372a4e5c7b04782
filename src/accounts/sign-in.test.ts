import { setTimeout as pause } from 'node:timers/promises'
import { hash } from 'argon2'
import { expect, test } from 'vitest'
import { LIMITS } from '../rate-limiting/limits.ts'
import type { Refusal, SignInVerdict } from '../rate-limiting/sign-in-rate-limit.ts'
import type { Account } from '../store/account/account.ts'
import { createPasswordHasher, createPasswordQueue } from './password.ts'
import { createSignIn } from './sign-in.ts'

type Needs = Parameters<typeof createSignIn>[0]
type Accounts = Needs['accounts']

const PASSWORD = 'velvet kettle harbor nineteen'
const account: Account = {
  sub: 'ada',
  username: 'ada',
  email: undefined,
  emailVerified: false,
  profile: {},
  status: 'active',
  accessEpoch: 0,
  createdAt: new Date(),
  updatedAt: new Date(),
}
const credentials = { login: 'ada', password: PASSWORD, address: '192.0.2.1', deviceCookie: [] }
const rateLimit: Needs['rateLimit'] = {
  count: async () => ({ outcome: 'allowed' }),
  succeeded: async () => {},
  unlock: async () => {},
}

const USED_UP: Refusal = {
  outcome: 'refused',
  by: LIMITS.signInByName,
  reason: 'used up',
  retryAfterSeconds: 3600,
  isFirst: false,
}

test('answers busy, without a hash, after the longest wait behind others of the same name', async () => {
  let verified = 0
  const signIn = createSignIn({
    accounts: { findByLogin: async () => ({ account, passwordHash: 'hash' }) } as unknown as Accounts,
    hasher: {
      ...createPasswordHasher(),
      verify: async () => {
        verified++
        await pause(300)
        return true
      },
      isOutdated: () => false,
    },
    rateLimit,
    queue: createPasswordQueue({ waitAtMostMilliseconds: 450 }),
    log: { warn: () => {} },
  })
  const outcomes = await Promise.all(
    Array.from({ length: 9 }, async () => (await signIn(credentials)).outcome),
  )
  expect(outcomes.slice(0, 2)).toEqual(['accepted', 'accepted'])
  expect(outcomes.slice(3)).toEqual(Array(6).fill('busy'))
  expect(verified).toBeLessThanOrEqual(3)
})

test('serves other accounts while many device cookies of one account wait', async () => {
  const other: Account = { ...account, sub: 'bob', username: 'bob' }
  let atOnce = 0
  let mostAtOnce = 0
  const signIn = createSignIn({
    accounts: {
      findByLogin: async (login: string) => ({
        account: login === 'bob' ? other : account,
        passwordHash: 'hash',
      }),
    } as unknown as Accounts,
    hasher: {
      ...createPasswordHasher(),
      verify: async (_hash, password) => {
        if (password === PASSWORD) return true
        mostAtOnce = Math.max(mostAtOnce, ++atOnce)
        await pause(20)
        atOnce--
        return false
      },
      isOutdated: () => false,
    },
    rateLimit,
    queue: createPasswordQueue(),
    log: { warn: () => {} },
  })
  const cookieOf = (sub: string, id: string) => [{ sub, accessEpoch: 0, id }]
  let answered = 0
  const guesses = Array.from({ length: 40 }, async (_, index) => {
    const guess = { ...credentials, password: 'a wrong one', deviceCookie: cookieOf('ada', `ada ${index}`) }
    await signIn(guess)
    answered++
  })
  const bob = { ...credentials, login: 'bob', deviceCookie: cookieOf('bob', 'bob 1') }
  expect((await signIn(bob)).outcome).toBe('accepted')
  expect(answered).toBeLessThan(3)
  await Promise.all(guesses)
  expect(mostAtOnce).toBe(1)
})

test('serves a person’s other browsers while one stolen device cookie has many attempts', async () => {
  const order: string[] = []
  const signIn = createSignIn({
    accounts: { findByLogin: async () => ({ account, passwordHash: 'hash' }) } as unknown as Accounts,
    hasher: {
      ...createPasswordHasher(),
      verify: async (_hash, password) => {
        order.push(password)
        await pause(100)
        return password === PASSWORD
      },
      isOutdated: () => false,
    },
    rateLimit,
    queue: createPasswordQueue(),
    log: { warn: () => {} },
  })
  const deviceCookie = [{ sub: 'ada', accessEpoch: 0, id: 'stolen' }]
  const thief = Array.from({ length: 20 }, () =>
    signIn({ ...credentials, password: 'a guess', deviceCookie }),
  )
  const person = await signIn({ ...credentials, deviceCookie: [{ sub: 'ada', accessEpoch: 0, id: 'own' }] })
  expect(person.outcome).toBe('accepted')
  expect(order.indexOf(PASSWORD)).toBeLessThan(3)
  const outcomes = (await Promise.all(thief)).map(({ outcome }) => outcome)
  expect(outcomes.filter((outcome) => outcome === 'throttled')).toHaveLength(9)
})

test('serves other networks between the attempts of one network', async () => {
  const asked: string[] = []
  const signIn = createSignIn({
    accounts: {
      findByLogin: async (login: string) => {
        asked.push(login)
        await pause(10)
        return undefined
      },
    } as unknown as Accounts,
    hasher: { ...createPasswordHasher(), verify: async () => false, isOutdated: () => false },
    rateLimit,
    queue: createPasswordQueue(),
    log: { warn: () => {} },
  })
  const crowd = Array.from({ length: 30 }, (_, index) =>
    signIn({ ...credentials, login: `crowd ${index}`, address: `2001:db8:1:${index}::1` }),
  )
  expect((await signIn({ ...credentials, login: 'other' })).outcome).toBe('rejected')
  await Promise.all(crowd)
  expect(asked.indexOf('other')).toBeLessThan(4)
})

test('serves a person while another of their browsers is delayed', async () => {
  const order: string[] = []
  const tooSoon = { name: 'sign_in.device_cookie', most: 30, windowSeconds: 60, isDelayed: true }
  const signIn = createSignIn({
    accounts: { findByLogin: async () => ({ account, passwordHash: 'hash' }) } as unknown as Accounts,
    hasher: { ...createPasswordHasher(), verify: async () => true, isOutdated: () => false },
    queue: createPasswordQueue(),
    rateLimit: {
      ...rateLimit,
      count: async ({ device }) => {
        order.push(device?.id ?? '')
        if (device?.id !== 'hasty' || order.filter((id) => id === 'hasty').length > 1)
          return { outcome: 'allowed' }
        const refusal = { outcome: 'refused', by: tooSoon, reason: 'too soon', isFirst: true } as const
        return { outcome: 'throttled', retryAfterSeconds: 1, refusal: { ...refusal, retryAfterSeconds: 1 } }
      },
    },
    log: { warn: () => {} },
  })
  const from = (id: string) => signIn({ ...credentials, deviceCookie: [{ sub: 'ada', accessEpoch: 0, id }] })
  const hasty = from('hasty')
  expect((await from('own')).outcome).toBe('accepted')
  expect((await hasty).outcome).toBe('accepted')
  expect(order).toEqual(['hasty', 'own', 'hasty'])
})

test.each([
  ['an older access epoch', { sub: 'ada', accessEpoch: 6, id: 'old' }],
  ['another account', { sub: 'bob', accessEpoch: 7, id: 'other' }],
])('counts a browser whose device cookie is of %s like one without a cookie', async (_, entry) => {
  const attempts: unknown[] = []
  const signIn = createSignIn({
    accounts: {
      findByLogin: async () => ({ account: { ...account, accessEpoch: 7 }, passwordHash: 'hash' }),
    } as unknown as Accounts,
    hasher: { ...createPasswordHasher(), verify: async () => true, isOutdated: () => false },
    queue: createPasswordQueue(),
    rateLimit: {
      ...rateLimit,
      count: async ({ device }) => {
        attempts.push(device)
        return { outcome: 'allowed' }
      },
    },
    log: { warn: () => {} },
  })
  await signIn({ ...credentials, deviceCookie: [entry] })
  const present = { sub: 'ada', accessEpoch: 7, id: 'present' }
  await signIn({ ...credentials, deviceCookie: [entry, present] })
  expect(attempts).toEqual([undefined, present])
})

test.each([
  ['hashing fails', { hash: () => Promise.reject(new Error('no memory')) }, {}],
  ['storing it fails', {}, { upgradePasswordHash: () => Promise.reject(new Error('no connection')) }],
])(
  'accepts a right password although its outdated hash is not replaced: %s',
  async (_, failingHasher, failingAccounts) => {
    const outdated = await hash(PASSWORD, { memoryCost: 1024, timeCost: 2 })
    const warnings: object[] = []
    const signIn = createSignIn({
      accounts: {
        findByLogin: async () => ({ account, passwordHash: outdated }),
        upgradePasswordHash: async () => {},
        ...failingAccounts,
      } as unknown as Accounts,
      hasher: { ...createPasswordHasher(), ...failingHasher },
      rateLimit,
      queue: createPasswordQueue(),
      log: { warn: (line: object) => void warnings.push(line) },
    })
    const result = await signIn(credentials)
    expect(result.outcome).toBe('accepted')
    expect(warnings).toHaveLength(1)
    expect(JSON.stringify(warnings)).not.toContain(PASSWORD)
  },
)

test.each<[string, SignInVerdict]>([
  ['an allowed attempt', { outcome: 'allowed' }],
  ['a used-up limit', { outcome: 'locked', refusal: USED_UP }],
])('checks the password of %s whose client disconnects (NIST SP 800-63B-4 §3.2.2)', async (_, verdict) => {
  let isGone = false
  let verified = 0
  const signIn = createSignIn({
    accounts: { findByLogin: async () => ({ account, passwordHash: 'hash' }) } as unknown as Accounts,
    hasher: {
      ...createPasswordHasher(),
      verify: async () => {
        verified++
        return false
      },
    },
    queue: createPasswordQueue(),
    rateLimit: {
      ...rateLimit,
      count: async () => {
        isGone = true
        return verdict
      },
      succeeded: () => Promise.reject(new Error('the attempt was given back')),
    },
    log: { warn: () => {} },
  })
  expect(await signIn({ ...credentials, isGone: () => isGone })).toMatchObject({ outcome: 'rejected' })
  expect(verified).toBe(1)
})

test('neither counts nor checks an attempt whose client disconnects while it waits', async () => {
  const unexpected = () => Promise.reject(new Error('the attempt began'))
  const signIn = createSignIn({
    accounts: { findByLogin: unexpected } as unknown as Accounts,
    hasher: createPasswordHasher(),
    queue: createPasswordQueue(),
    rateLimit: { ...rateLimit, count: unexpected },
    log: { warn: () => {} },
  })
  expect(await signIn({ ...credentials, isGone: () => true })).toMatchObject({ outcome: 'busy' })
})
