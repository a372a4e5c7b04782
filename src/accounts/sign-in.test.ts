import { hash } from 'argon2'
import { expect, test } from 'vitest'
import type { Account } from '../store/account.ts'
import { createPasswordHasher, HashingBusyError } from './password.ts'
import { createSignIn } from './sign-in.ts'

const PASSWORD = 'correct horse battery staple'
const account: Account = {
  sub: 'ada',
  username: 'ada',
  email: undefined,
  emailVerified: false,
  profile: {},
  status: 'active',
  signedOutAt: undefined,
  createdAt: new Date(),
  updatedAt: new Date(),
}

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
      } as unknown as Parameters<typeof createSignIn>[0]['accounts'],
      hasher: { ...createPasswordHasher(), ...failing },
      limits: {
        count: async () => ({ outcome: 'allowed' }),
        succeeded: async () => {},
        notLookedAt: async () => {},
        unlock: async () => {},
      },
      log: { warn: (line: object) => void warnings.push(line) },
    })
    const result = await signIn({
      login: 'ada',
      password: PASSWORD,
      address: '192.0.2.1',
      browser: undefined,
    })
    expect(result.outcome).toBe('accepted')
    expect(warnings).toHaveLength(1)
    expect(JSON.stringify(warnings)).not.toContain(PASSWORD)
  },
)
