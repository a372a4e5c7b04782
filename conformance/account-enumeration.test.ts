import { randomBytes, randomInt } from 'node:crypto'
import { argon2i, argon2id, hash } from 'argon2'
import { load } from 'cheerio'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { useFullPasswordCost } from './support/argon2.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { exchange, posting, rows, sql } from './support/http.ts'
import { expectSameTime, pairsOf } from './support/response-time.ts'

/** Each account is tried by username and by e-mail address, beside two unknown names. */
const PEOPLE = pairsOf({ usual: 60, full: 250 })
const MOST_DIFFERENCE_MILLISECONDS = 5
const OF_EACH_ANSWER = new Set(['date', 'x-request-id'])

let server: TestServer
let form: { cookie: string; csrf: string }
let senders = 0

useFullPasswordCost()
beforeAll(async () => {
  server = await startTestServer({ TRUSTED_PROXIES: '127.0.0.1' })
  form = await openForm()
  const { users } = server.admin
  await Promise.all(
    ['known-person', 'other-person'].map((username) => users.create({ username, password: PASSWORD })),
  )
  await users.disable({ username: 'other-person' })
})
afterAll(() => server?.remove())

async function openForm() {
  const { headers, text } = await exchange(`${server.url}/account/sign-in`, {
    headers: { accept: 'text/html' },
  })
  const cookie = headers
    .getSetCookie()
    .map((line) => line.split(';')[0])
    .join('; ')
  return { cookie, csrf: String(load(text)('input[name=csrf]').val()) }
}

/** Submits the sign-in form of the account page, each time from another network. */
async function signIn(username: string, password: string) {
  const sender = senders++
  const address = `10.${(sender >> 16) & 255}.${(sender >> 8) & 255}.${sender & 255}`
  const headers = {
    cookie: form.cookie,
    accept: 'text/html',
    origin: server.issuer,
    'x-forwarded-for': address,
  }
  return await exchange(
    `${server.url}/account/sign-in`,
    posting({ csrf: form.csrf, username, password }, { headers }),
  )
}

const isSignedIn = ({ status }: { status: number }) => status === 303

describe('sign-in does not reveal accounts (OWASP ASVS 6.3.8)', () => {
  test('returns the same bytes for an unknown name, a wrong password and a disabled person', async () => {
    const answers = [
      await signIn('known-person', 'not the right password'),
      await signIn('nobody-here!', 'not the right password'),
      await signIn('other-person', 'not the right password'),
      await signIn('other-person', PASSWORD),
    ].map(({ status, headers, text }, index) => ({
      status,
      headers: [...headers]
        .filter(([name]) => !OF_EACH_ANSWER.has(name))
        .map(([name, value]) => [name, blank(value)]),
      text: blank(text).replaceAll(
        ['known-person', 'nobody-here!', 'other-person'][Math.min(index, 2)] ?? '',
        'NAME',
      ),
    }))
    expect(answers[0]?.status).toBe(400)
    for (const answer of answers) expect(answer).toEqual(answers[0])
  })

  test.each([
    ['nothing', '', 400],
    ['more than 1,024 characters', 'x'.repeat(1025), 400],
    ['more than a form has room for', 'x'.repeat(1_000_000), 413],
  ])('rejects a password of %s in the same way for every name', async (_, password, status) => {
    for (const name of ['known-person', 'nobody-here!']) {
      const answer = await signIn(name, password)
      expect(answer.status).toBe(status)
    }
  })

  test('answers a name that is too long, or in another spelling, like any other', async () => {
    const spelled = await signIn('ＫＮＯＷＮ-person', PASSWORD)
    expect(isSignedIn(spelled)).toBe(true)
    const long = await signIn('n'.repeat(5_000), PASSWORD)
    expect(long.status).toBe(400)
  })
})

test(`${PEOPLE * 4} sign-ins with known and unknown names take the same time, by username and by e-mail address (CWE-208)`, async () => {
  for (let first = 0; first < PEOPLE; first += 5)
    await Promise.all(
      Array.from({ length: 5 }, (_, index) => {
        const username = `timed-${first + index}`
        return server.admin.users.create({ username, email: `${username}@mail.example`, password: PASSWORD })
      }),
    )
  const times: Record<string, number[]> = {}
  const time = async (kind: string, username: string) => {
    const startedAt = performance.now()
    const { status } = await signIn(username, 'not the right password')
    expect(status).toBe(400)
    times[kind] ??= []
    times[kind].push(performance.now() - startedAt)
  }
  for (let index = 0; index < PEOPLE; index++)
    for (const [kind, username] of shuffled([
      ['known username', `timed-${index}`],
      ['unknown username', `nobody-${index}`],
      ['known address', `timed-${index}@mail.example`],
      ['unknown address', `nobody-${index}@mail.example`],
    ] as const))
      await time(kind, username)
  for (const kind of ['username', 'address'])
    expectSameTime(times[`known ${kind}`] ?? [], times[`unknown ${kind}`] ?? [], MOST_DIFFERENCE_MILLISECONDS)
}, 300_000)

test('compares a password to its last character, also after byte 80 (OWASP ASVS 6.2.9)', async () => {
  const long = randomBytes(1024).toString('base64url').slice(0, 1023)
  await server.admin.users.create({ username: 'long', password: `${long}a` })
  expect(isSignedIn(await signIn('long', `${long}b`))).toBe(false)
  expect(isSignedIn(await signIn('long', `${long}a`))).toBe(true)
  const at80 = long.slice(0, 79)
  await server.admin.users.create({ username: 'eighty', password: `${at80}a` })
  expect(isSignedIn(await signIn('eighty', `${at80}b`))).toBe(false)
  expect(isSignedIn(await signIn('eighty', `${at80}a`))).toBe(true)
})

describe('a hash made with outdated parameters', () => {
  test.each([
    ['fewer passes and less memory', { type: argon2id, memoryCost: 8192, timeCost: 1, parallelism: 1 }],
    ['more parallelism', { type: argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 4 }],
    ['Argon2i', { type: argon2i, memoryCost: 4096, timeCost: 3, parallelism: 1 }],
  ] as const)('(%s) is accepted and replaced at the next sign-in', async (_, parameters) => {
    const username = `old-${senders}`
    await server.admin.users.create({ username })
    const old = await hash(PASSWORD, parameters)
    await sql(server, 'update account set password_hash = $1 where username = $2', [old, username])
    expect(isSignedIn(await signIn(username, 'not the right password'))).toBe(false)
    expect(await hashOf(username)).toBe(old)
    await new Promise((done) => setTimeout(done, 1_100)) // An attempt right after a wrong one is refused.
    expect(isSignedIn(await signIn(username, PASSWORD))).toBe(true)
    expect(await hashOf(username)).toMatch(/^\$argon2id\$v=19\$m=19456,(t=2,p=1|p=1,t=2)\$/)
    expect(isSignedIn(await signIn(username, PASSWORD))).toBe(true)
  })
})

async function hashOf(username: string): Promise<string | undefined> {
  const [row] = await rows<{ password_hash: string }>(
    server,
    'select password_hash from account where username = $1',
    [username],
  )
  return row?.password_hash
}

/** Removes random values. */
function blank(text: string): string {
  return text
    .replaceAll(/expires=[^;]+/g, 'EXPIRES')
    .replaceAll(/nonce-[\w-]+/g, 'NONCE')
    .replaceAll(/nonce="[\w-]+"/g, 'NONCE')
}

/** In random order, so that no kind always follows the same other. */
function shuffled<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, place: randomInt(1_000_000) }))
    .sort((one, other) => one.place - other.place)
    .map(({ item }) => item)
}
