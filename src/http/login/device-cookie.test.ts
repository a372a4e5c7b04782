import type { Context } from 'koa'
import { expect, test } from 'vitest'
import { createVault, randomMasterKey } from '../../crypto/vault.ts'
import { DAY_SECONDS } from '../../time.ts'
import { createDeviceCookies } from './device-cookie.ts'

const ADA = { sub: '7c1a2f0e-93a1-4c55-8f0e-2b9d6f1f0a01', accessEpoch: 3 }
const vault = createVault([randomMasterKey()])
let seconds = 1_800_000_000
const cookies = createDeviceCookies({
  issuer: 'https://login.example',
  vault,
  now: () => new Date(seconds * 1000),
})

/** A browser that stores its cookies. */
function browser(): Context & { kept: Map<string, string> } {
  const kept = new Map<string, string>()
  const jar = {
    get: (name: string) => kept.get(name),
    set: (name: string, value: string) => void kept.set(name, value),
  }
  return { kept, cookies: jar } as unknown as Context & { kept: Map<string, string> }
}

const subAt = (index: number) => `7c1a2f0e-93a1-4c55-8f0e-2b9d6f1f0b0${index}`

test('keeps the access epoch of each account, and a new identifier per sign-in', () => {
  const ctx = browser()
  cookies.issue(ctx, ADA)
  const [first] = cookies.find(ctx)
  cookies.issue(ctx, { ...ADA, accessEpoch: 4 })
  const [second, ...others] = cookies.find(ctx)
  expect(first).toMatchObject(ADA)
  expect(second).toMatchObject({ ...ADA, accessEpoch: 4 })
  expect(second?.id).not.toBe(first?.id)
  expect(others).toEqual([])
})

test('expires 180 days after its issue, also when the browser keeps it', () => {
  const ctx = browser()
  cookies.issue(ctx, ADA)
  seconds += 180 * DAY_SECONDS - 1
  expect(cookies.find(ctx)).toHaveLength(1)
  seconds += 1
  expect(cookies.find(ctx)).toEqual([])
  // Another account's sign-in does not renew it.
  cookies.issue(ctx, { sub: subAt(1), accessEpoch: 0 })
  expect(cookies.find(ctx).map(({ sub }) => sub)).toEqual([subAt(1)])
})

test('drops the least recent of more than five accounts', () => {
  const ctx = browser()
  for (let index = 0; index < 7; index++) cookies.issue(ctx, { sub: subAt(index), accessEpoch: 0 })
  expect(cookies.find(ctx).map(({ sub }) => sub)).toEqual([6, 5, 4, 3, 2].map(subAt))
  const [[, value] = ['', '']] = [...ctx.kept]
  expect(value.length).toBeLessThan(2_000)
})

test('rejects a value that was not sealed as a device cookie', () => {
  const ctx = browser()
  cookies.issue(ctx, ADA)
  const [[name, value] = ['', '']] = [...ctx.kept]
  for (const forged of [
    value.slice(1),
    `${value.slice(0, -2)}AA`,
    '',
    'e30',
    vault.seal('[]', 'mail', []).toString('base64url'),
  ]) {
    ctx.kept.set(name, forged)
    expect(cookies.find(ctx)).toEqual([])
  }
})
