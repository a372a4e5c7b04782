import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { useFullPasswordCost } from './support/argon2.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { rows, sql } from './support/http.ts'

const WRONG = 'not the password of anybody'
let server: TestServer
let next = 0

useFullPasswordCost()
beforeAll(async () => {
  server = await startTestServer({ TRUSTED_PROXIES: '127.0.0.1,::1' })
  for (const username of [
    'ada',
    'bob',
    'carol',
    'dora',
    'emil',
    'fay',
    'gus',
    'hal',
    'ivy',
    'joe',
    'kim',
    'lea',
    'max',
  ])
    await server.admin.users.create({ username, email: `${username}@example.test`, password: PASSWORD })
})
afterAll(() => server?.remove())

/** A new browser with its own address. */
function stranger(address = `198.51.${next >> 8}.${next++ & 255}`, url = server.url): EndUser {
  const user = new EndUser(server.issuer, url)
  user.headers = { 'x-forwarded-for': address }
  return user
}

async function tryAs(user: EndUser, username: string, password = WRONG): Promise<Page> {
  const page = await user.open('/account')
  return page.$('input[name=password]').length > 0 ? await user.submit(page, { username, password }) : page
}

/** The counted wrong passwords of each name and each account. */
const guessesOfDay = async (): Promise<number[]> =>
  (
    await rows<{ count: number }>(
      server,
      `select count from attempt where most = 100 and expires_at > now() + interval '1 hour'`,
    )
  ).map(({ count }) => count)

/** Ends the session of a browser, and keeps its device cookie. */
const signOut = ({ jar }: EndUser) =>
  jar.setCookieSync('sallyport_session=; Max-Age=0; Path=/', server.issuer)

/** Browsers with a device cookie of a person, each with its own address. */
async function devicesOf(username: string, count: number): Promise<EndUser[]> {
  await forget()
  const users = Array.from({ length: count }, () => stranger())
  for (const user of users) {
    expect(isIn(await tryAs(user, username, PASSWORD))).toBe(true)
    signOut(user)
  }
  await forget()
  return users
}

const isIn = (page: Page) => page.status === 200 && page.$('input[name=password]').length === 0

/** Lets the wait after the last attempt pass. */
const letPass = () => sql(server, `update attempt set next_at = now()`)
/** Sets the count of the limits of a day. */
const age = (count: number) =>
  sql(
    server,
    `update attempt set count = ${count}, next_at = now() where expires_at > now() + interval '1 hour'`,
  )
const forget = () => sql(server, `delete from attempt`)

describe.skipIf(isPglite)('the rate limit of password attempts', () => {
  test('doubles its delay, and returns it (NIST SP 800-63B-4 §3.2.2)', async () => {
    const waits: number[] = []
    for (const count of [1, 2, 3, 8, 9, 24, 25, 99]) {
      await forget()
      await tryAs(stranger(), 'ada')
      await age(count - 1)
      if (count > 1) await tryAs(stranger(), 'ada')
      // The server waits for the shortest delay itself, so a second attempt follows.
      const page = await tryAs(stranger(), 'ada')
      waits.push(page.status === 429 ? Number(page.headers.get('retry-after')) : 0)
    }
    expect(waits).toEqual([0, 0, 3, 3, 5, 5, 10, 10])
  })

  test('verifies few of 200 concurrent attempts and rejects the others (CWE-307)', async () => {
    await forget()
    const startedAt = performance.now()
    const guesses = await Promise.all(
      Array.from({ length: 200 }, (_, index) => tryAs(stranger(), 'bob', `${WRONG} ${index}`)),
    )
    const seconds = (performance.now() - startedAt) / 1000
    const lookedAt = guesses.filter(({ status }) => status === 400)
    // Two in a second, then one every three seconds, however slow the sending machine is.
    expect(lookedAt.length).toBeLessThanOrEqual(3 + seconds / 3)
    // On a loaded machine some wait longer than 5 seconds: 503.
    const sentAway = guesses.filter(({ status }) => status === 429 || status === 503)
    expect(sentAway).toHaveLength(200 - lookedAt.length)
  })

  test('does not count attempts that it rejected, so that an account is not locked in seconds (CWE-645)', async () => {
    await forget()
    for (let round = 0; round < 2; round++) {
      const strangers = Array.from({ length: 60 }, () => stranger())
      await Promise.all(strangers.map((user) => tryAs(user, 'bob')))
    }
    await letPass()
    expect(isIn(await tryAs(stranger(), 'bob', PASSWORD))).toBe(true)
  })

  test('counts over two instances', async () => {
    await forget()
    const other = await server.startAnother()
    const statuses: number[] = []
    for (let round = 0; round < 3; round++) {
      statuses.push((await tryAs(stranger(undefined, server.url), 'carol')).status)
      await letPass()
      statuses.push((await tryAs(stranger(undefined, other.url), 'carol')).status)
      await letPass()
    }
    expect(statuses).toEqual([400, 400, 400, 400, 400, 400])
    await age(100)
    for (const url of [server.url, other.url])
      expect((await tryAs(stranger(undefined, url), 'carol', PASSWORD)).status).toBe(400)
    await other.stop()
  })

  test('rejects a name after 100 attempts, in every spelling, with the answer to a wrong password', async () => {
    await forget()
    const wrong = await tryAs(stranger(), 'dora')
    await age(100)
    for (const spelling of ['dora', 'DORA', 'ｄｏｒａ', ' dora ', 'Dora@Example.test']) {
      const page = await tryAs(stranger(), spelling, PASSWORD)
      expect(page.status).toBe(400)
      expect(page.$('main').text()).toBe(wrong.$('main').text())
    }
    const locked = `select detail ->> 'limit' as limit from event join account on sub = account_sub where type = 'sign_in.locked' and username = 'dora' order by event.id`
    expect(await rows(server, locked)).toEqual([{ limit: 'sign_in.name' }, { limit: 'sign_in.account' }])
    await sql(server, `update attempt set expires_at = now()`)
    expect(isIn(await tryAs(stranger(), 'dora', PASSWORD))).toBe(true)
  })

  test('does not lock out a browser with a device cookie (OWASP ASVS 6.1.1)', async () => {
    await forget()
    const emil = stranger()
    expect(isIn(await tryAs(emil, 'emil', PASSWORD))).toBe(true)
    signOut(emil)
    const floods = Array.from({ length: 80 }, () => tryAs(stranger(), 'emil'))
    await Promise.race(floods)
    await age(100)
    expect(isIn(await tryAs(emil, 'emil', PASSWORD))).toBe(true)
    await Promise.all(floods)
    await age(100)
    expect((await tryAs(stranger(), 'emil', PASSWORD)).status).toBe(400)
  })

  test('on a person’s own network does not lock out a browser with a device cookie', async () => {
    await forget()
    const emil = stranger('203.0.113.80')
    expect(isIn(await tryAs(emil, 'emil', PASSWORD))).toBe(true)
    signOut(emil)
    await tryAs(stranger('203.0.113.80'), 'emil')
    await sql(server, `update attempt set count = most, next_at = now()`)
    // Removes the counts of the person's own attempts.
    await sql(server, `delete from attempt where most in (30, 120, 300)`)
    expect((await tryAs(stranger('203.0.113.80'), 'emil')).status).toBe(429)
    expect(isIn(await tryAs(emil, 'emil', PASSWORD))).toBe(true)
  })

  test('ignores the device cookie of another account', async () => {
    await forget()
    const fay = stranger()
    expect(isIn(await tryAs(fay, 'fay', PASSWORD))).toBe(true)
    signOut(fay)
    await tryAs(fay, 'ada')
    await age(100)
    expect((await tryAs(fay, 'ada', PASSWORD)).status).toBe(400)
  })

  test('limits one network for one name and over all names; an IPv6 network is a /64 (CWE-307)', async () => {
    await forget()
    const pair: number[] = []
    for (let count = 0; count < 12; count++) {
      pair.push((await tryAs(stranger('2001:db8:7:7::1'), 'gus')).status)
      await letPass()
    }
    expect(pair.slice(0, 10)).toEqual(Array(10).fill(400))
    expect(pair.slice(10)).toEqual([429, 429])
    await forget()
    const spray: Page[] = []
    // Few at once: attempts that find the queue full are not counted.
    for (let start = 0; start < 110; start += 10)
      spray.push(
        ...(await Promise.all(
          Array.from({ length: 10 }, (_, index) =>
            tryAs(stranger(`2001:db8:8:8::${start + index}`), `nobody${start + index}`),
          ),
        )),
      )
    const refused = spray.filter(({ status }) => status === 429)
    expect(refused).toHaveLength(10)
    expect(Number(refused[0]?.headers.get('retry-after'))).toBeGreaterThan(0)
    // Another /64 is not limited, and a refused network uses up nothing of its limits.
    expect(isIn(await tryAs(stranger('2001:db8:8:9::1'), 'gus', PASSWORD))).toBe(true)
  })

  test('does not count successful sign-ins of a shared address', async () => {
    await forget()
    for (let count = 0; count < 12; count++)
      expect(isIn(await tryAs(stranger('203.0.113.77'), 'hal', PASSWORD))).toBe(true)
    // Only the limits that also count right passwords.
    expect(await rows(server, `select most, count from attempt order by most`)).toEqual([
      { most: 120, count: 12 },
      { most: 300, count: 12 },
    ])
  })

  test('keeps its count after a successful sign-in', async () => {
    await forget()
    for (let count = 0; count < 2; count++) {
      await tryAs(stranger(), 'hal')
      await letPass()
    }
    expect(isIn(await tryAs(stranger(), 'hal', PASSWORD))).toBe(true)
    expect(await guessesOfDay()).toEqual([2, 2])
  })

  test('is reset when an operator sets a password or enables the person', async () => {
    await forget()
    await tryAs(stranger(), 'hal')
    await age(100)
    await server.admin.users.setPassword({ username: 'hal', password: `${PASSWORD} new` })
    expect(isIn(await tryAs(stranger(), 'hal', `${PASSWORD} new`))).toBe(true)
  })

  test('ignores an address that no trusted proxy forwarded (CWE-348)', async () => {
    const direct = await startTestServer()
    await direct.admin.users.create({ username: 'ada', password: PASSWORD })
    const statuses: number[] = []
    for (let index = 0; index < 12; index++) {
      const user = new EndUser(direct.issuer, direct.url)
      user.headers = { 'x-forwarded-for': `198.51.100.${index}`, forwarded: `for=198.51.100.${index}` }
      statuses.push((await tryAs(user, 'ada')).status)
      await sql(direct, `update attempt set next_at = now()`)
    }
    expect(statuses.slice(-2)).toEqual([429, 429])
    await direct.remove()
  })
})

describe.skipIf(isPglite)('device cookies', () => {
  test('of one account share one attempt counter, from one address and from many', async () => {
    const users = await devicesOf('gus', 12)
    const apart = users.map(({ headers }) => headers)
    const guesses = await Promise.all(
      users.map((user) => {
        user.headers = { 'x-forwarded-for': '203.0.113.90' }
        return tryAs(user, 'gus')
      }),
    )
    const lookedAt = guesses.filter(({ status }) => status === 400)
    expect(lookedAt.length).toBeLessThanOrEqual(10)
    const sentAway = guesses.filter(({ status }) => status === 429 || status === 503)
    expect(sentAway).toHaveLength(12 - lookedAt.length)
    for (const [index, user] of users.entries()) {
      user.headers = apart[index] ?? {}
      await letPass()
      expect((await tryAs(user, 'gus')).status).toBe(400)
    }
    expect(await guessesOfDay()).toEqual([lookedAt.length + 12])
    // With their limit used up, the cookies give no exemption, and the limit for browsers without a cookie applies.
    await age(100)
    expect(isIn(await tryAs(users[9] as EndUser, 'gus', PASSWORD))).toBe(true)
    await tryAs(stranger(), 'gus')
    await age(100)
    for (const user of users.slice(10)) expect((await tryAs(user, 'gus', PASSWORD)).status).toBe(400)
  })

  test('of a thief do not lock out the person’s other browsers', async () => {
    const [thief, person] = (await devicesOf('gus', 2)) as [EndUser, EndUser]
    await tryAs(stranger(), 'gus')
    await age(100)
    await tryAs(thief, 'gus')
    await sql(server, `update attempt set count = 30, next_at = now() where most = 30`)
    // With its limit used up, it counts as a browser without a cookie; those are locked out.
    for (let time = 0; time < 3; time++) expect((await tryAs(thief, 'gus', PASSWORD)).status).toBe(400)
    expect(isIn(await tryAs(person, 'gus', PASSWORD))).toBe(true)
    expect((await guessesOfDay()).toSorted((one, other) => one - other)).toEqual([1, 100, 100])
  })

  test.for<[string, string, (username: string) => Promise<unknown>]>([
    [
      'a new password',
      'ivy',
      (username) => server.admin.users.setPassword({ username, password: `${PASSWORD} once more` }),
    ],
    ['signing out everywhere', 'joe', (username) => server.admin.users.signOut({ username })],
    [
      'being disabled',
      'kim',
      async (username) => {
        await server.admin.users.disable({ username })
        await server.admin.users.enable({ username })
      },
    ],
  ])('end with %s', async ([_, username, revoke]) => {
    const password = username === 'ivy' ? `${PASSWORD} once more` : PASSWORD
    const [user] = await devicesOf(username, 1)
    await revoke(username)
    await tryAs(stranger(), username)
    await age(100)
    expect((await tryAs(user as EndUser, username, password)).status).toBe(400)
    await forget()
    expect(isIn(await tryAs(user as EndUser, username, password))).toBe(true)
  })

  test('are issued again in the browser that changes the password', async () => {
    const user = stranger()
    await tryAs(user, 'lea', PASSWORD)
    const page = await user.open('/account/password')
    await user.submit(page, { password: PASSWORD, new_password: `${PASSWORD} once more` })
    signOut(user)
    await tryAs(stranger(), 'lea')
    await age(100)
    expect((await tryAs(stranger(), 'lea', `${PASSWORD} once more`)).status).toBe(400)
    expect(isIn(await tryAs(user, 'lea', `${PASSWORD} once more`))).toBe(true)
  })

  test('are ignored when altered, empty or in the previous format', async () => {
    const [user] = await devicesOf('gus', 1)
    const value = user?.cookie('sallyport_browser') ?? ''
    for (const forged of [value.slice(0, -4), `${value.slice(0, -4)}AAAA`, '', 'e30', 'x'.repeat(3_000)]) {
      const forger = stranger()
      forger.jar.setCookieSync(`sallyport_browser=${forged}; Path=/`, server.issuer)
      expect((await tryAs(forger, 'gus')).status).toBe(400)
      await letPass()
    }
  })
})

describe.skipIf(isPglite)('sign-ins with the right password', () => {
  test.for([
    ['for one person', 120, () => undefined],
    ['from one network', 300, () => '203.0.113.91'],
    ['from a /56', 1_200, (index: number) => `2001:db8:40:12${index}::1`],
    ['from a /48', 4_800, (index: number) => `2001:db8:41:${index}::1`],
  ] as const)('%s are limited, because each computes a hash', async ([_, most, from]) => {
    await forget()
    const known = stranger(from(0))
    expect(isIn(await tryAs(known, 'max', PASSWORD))).toBe(true)
    signOut(known)
    await sql(server, `update attempt set count = ${most - 1} where most = ${most}`)
    expect(isIn(await tryAs(stranger(from(1)), 'max', PASSWORD))).toBe(true)
    const refused = await tryAs(stranger(from(2)), 'max', PASSWORD)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(1)
    // Others cannot use up the limit of this browser.
    expect(isIn(await tryAs(known, 'max', PASSWORD))).toBe(true)
  })
})

test('the first corrected password is not delayed', async () => {
  const user = new EndUser(server.issuer, server.url)
  const refused = await tryAs(user, 'ada')
  expect(refused.status).toBe(400)
  expect(isIn(await user.submit(refused, { username: 'ada', password: PASSWORD }))).toBe(true)
})

test.skipIf(isPglite)(
  'a queued attempt with a password that is replaced meanwhile is rejected (CWE-367)',
  async () => {
    await forget()
    await tryAs(stranger(), 'hal')
    const thieves = Array.from({ length: 3 }, () => stranger())
    const waiting = Promise.all(thieves.map((user) => tryAs(user, 'hal', PASSWORD)))
    await pause(400)
    await server.admin.users.setPassword({ username: 'hal', password: `${PASSWORD}, another` })
    for (const page of await waiting) expect(isIn(page)).toBe(false)
    await forget()
    expect(isIn(await tryAs(stranger(), 'hal', `${PASSWORD}, another`))).toBe(true)
  },
)
