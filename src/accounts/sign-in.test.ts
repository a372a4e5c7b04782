import { setTimeout as pause } from 'node:timers/promises'
import { hash } from 'argon2'
import { expect, test } from 'vitest'
import type { Account } from '../store/account.ts'
import { createPasswordHasher, HashingBusyError } from './password.ts'
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
const credentials = { login: 'ada', password: PASSWORD, address: '192.0.2.1', browser: undefined }
const limits: Needs['limits'] = {
  count: async () => ({ outcome: 'allowed' }),
  succeeded: async () => {},
  notLookedAt: async () => {},
  unlock: async () => {},
}

test('who waited too long behind others of the same name is told to come again, and waits for no hash', async () => {
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
    limits,
    log: { warn: () => {} },
    waitAtMostMilliseconds: 450,
  })
  const outcomes = await Promise.all(
    Array.from({ length: 9 }, async () => (await signIn(credentials)).outcome),
  )
  expect(outcomes.slice(0, 2)).toEqual(['accepted', 'accepted'])
  expect(outcomes.slice(3)).toEqual(Array(6).fill('busy'))
  expect(verified).toBeLessThanOrEqual(3)
})

test.each([
  ['the queue is full', { hash: () => Promise.reject(new HashingBusyError('full')) }],
  ['hashing fails', { hash: () => Promise.reject(new Error('no memory')) }],
])(
  'a right password signs in although its outdated hash cannot be replaced, since %s',
  async (_, failing) => {
    const outdated = await hash(PASSWORD, { memoryCost: 1024, timeCost: 2 })
    const warnings: object[] = []
    const signIn = createSignIn({
      accounts: {
        findByLogin: async () => ({ account, passwordHash: outdated }),
        upgradePasswordHash: async () => {},
      } as unknown as Accounts,
      hasher: { ...createPasswordHasher(), ...failing },
      limits,
      log: { warn: (line: object) => void warnings.push(line) },
    })
    const result = await signIn(credentials)
    expect(result.outcome).toBe('accepted')
    expect(warnings).toHaveLength(1)
    expect(JSON.stringify(warnings)).not.toContain(PASSWORD)
  },
)
