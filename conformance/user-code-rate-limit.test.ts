import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { alertOf, enterCode, pollDevice, startDevice } from './support/device-flow.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { rows, sql } from './support/http.ts'

const UNKNOWN = { user_code: 'BBBB-BBBB' }

let server: TestServer
let tv: ClientDocument
let networks = 0

beforeAll(async () => {
  server = await startTestServer({ TRUSTED_PROXIES: '127.0.0.0/8,::1/128' })
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  tv = await server.admin.clients.create({ type: 'device', client_name: 'Bridge TV' })
})
afterAll(() => server?.remove())

/** A new browser with its own address. */
function browser(address: string, target = server.url): EndUser {
  const person = new EndUser(server.issuer, target)
  person.headers['x-forwarded-for'] = address
  return person
}

function anotherNetwork(): string {
  networks++
  return `198.51.100.${networks}`
}

function expectTooMany(page: Page): void {
  expect(page.status).toBe(429)
  expect(Number(page.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(Number(page.headers.get('retry-after'))).toBeLessThanOrEqual(3_600)
  expect(alertOf(page)).toContain('Too many wrong codes')
  expect(page.$('button[value=approve]')).toHaveLength(0)
}

async function guess(person: EndUser, times: number): Promise<Page[]> {
  const pages: Page[] = []
  for (let time = 0; time < times; time++) pages.push(await enterCode(person, UNKNOWN))
  return pages
}

describe('user codes that do not exist', () => {
  test('return 429 after five in one browser, also for the right code (RFC 8628 §5.1)', async () => {
    const network = anotherNetwork()
    const person = browser(network)
    for (const page of await guess(person, 5)) {
      expect(page.status).toBe(400)
      expect(alertOf(page)).toContain('do not know that code')
    }
    const started = await startDevice(server, tv)
    expectTooMany(await enterCode(person, UNKNOWN))
    expectTooMany(await enterCode(person, started))
    // Neither continuing nor cancelling decides about the device.
    expectTooMany(await enterCode(person, started, { action: 'approve' }))
    expectTooMany(await enterCode(person, started, { action: 'deny' }))
    expect((await pollDevice(server.url, started, tv)).body.error).toBe('authorization_pending')
    // Other browsers of the network are not limited.
    expect((await enterCode(browser(network), started)).$('button[value=approve]')).toHaveLength(1)
  })

  test('are the only ones counted', async () => {
    const person = browser(anotherNetwork())
    await guess(person, 4)
    const started = await startDevice(server, tv)
    for (let time = 0; time < 8; time++)
      expect((await enterCode(person, started)).$('button[value=approve]')).toHaveLength(1)
    const [last, first] = [await enterCode(person, UNKNOWN), await enterCode(person, UNKNOWN)]
    expect(last?.status).toBe(400)
    expectTooMany(first as Page)
  })

  test('count also in verification_uri_complete, when the form is sent (RFC 8628 §3.3.1)', async () => {
    const person = browser(anotherNetwork())
    for (let time = 0; time < 8; time++) {
      const page = await person.open('/device?user_code=BBBB-BBBB')
      expect(page.status).toBe(200)
      expect(alertOf(page)).toBe('')
    }
    for (let time = 0; time < 5; time++) {
      const page = await person.submit(await person.open('/device?user_code=BBBB-BBBB'))
      expect(page.status).toBe(400)
    }
    expectTooMany(await person.submit(await person.open('/device?user_code=BBBB-BBBB')))
  })

  test.for([
    ['an IPv4 address', (_index: number): string => '198.51.100.201', (): string => '198.51.100.202'],
    [
      'a /64 of IPv6',
      (index: number): string => `2001:db8:7:7:${index.toString(16)}::1`,
      (): string => '2001:db8:7:8::1',
    ],
  ] as const)(
    'are limited to thirty an hour from %s, whatever cookies it sends (RFC 8628 §5.1)',
    async ([, from, elsewhere]) => {
      for (let index = 0; index < 30; index++)
        expect((await enterCode(browser(from(index)), UNKNOWN)).status).toBe(400)
      const started = await startDevice(server, tv)
      expectTooMany(await enterCode(browser(from(31)), started))
      expect((await enterCode(browser(elsewhere()), started)).status).toBe(200)
    },
  )

  test('are limited also when concurrent, over all instances', async () => {
    const network = anotherNetwork()
    const urls = isPglite ? [server.url] : [server.url, (await server.startAnother()).url]
    const people = Array.from({ length: 45 }, (_, index) => browser(network, urls[index % urls.length]))
    const pages = await Promise.all(people.map((person) => person.open('/device')))
    const answers = await Promise.all(
      people.map((person, index) => person.submit(pages[index] as Page, UNKNOWN)),
    )
    const looked = answers.filter((page) => alertOf(page).includes('do not know that code'))
    expect(looked).toHaveLength(30)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(15)
  })
})

describe('the page explains the error', () => {
  test.for([
    ['BCDF-GHJ0', true],
    ['BODF-GHJK', true],
    ['BCDF-GHJK', false],
  ] as const)('of %s: %s', async ([user_code, isExplained]) => {
    const page = await enterCode(browser(anotherNetwork()), { user_code })
    expect(page.$('#hint').text().includes('no vowels')).toBe(isExplained)
    expect(page.$('input[name=user_code]').val()).toBe(user_code)
  })
})

/** Last in the file: the instance caches the reached limit and refuses requests without an account for a minute. */
describe('user codes that do not exist', () => {
  test.skipIf(isPglite)('from all networks are limited to 8,000 an hour, with an audit event', async () => {
    const signedIn = browser(anotherNetwork())
    const page = await signedIn.open('/account/sign-in')
    await signedIn.submit(page, { username: 'ada', password: PASSWORD })
    const known = browser(anotherNetwork())
    known.jar.setCookieSync(`sallyport_browser=${signedIn.cookie('sallyport_browser')}`, server.issuer)
    await enterCode(browser(anotherNetwork()), UNKNOWN)
    await sql(server, 'update attempt set count = 7999 where most = 8000')
    const started = await startDevice(server, tv)
    expect((await enterCode(browser(anotherNetwork()), started)).status).toBe(200)
    expect((await enterCode(browser(anotherNetwork()), UNKNOWN)).status).toBe(400)
    for (let time = 0; time < 3; time++) expectTooMany(await enterCode(browser(anotherNetwork()), started))
    const recorded = () =>
      rows(server, `select detail ->> 'limit' as limit from event where type = 'device.codes_guessed'`)
    expect(await recorded()).toEqual([{ limit: 'user_code.everybody' }])
    const metrics = await (await fetch(`${server.managementUrl}/metrics`)).text()
    expect(metrics).toMatch(/^sallyport_shared_limits_reached_total\{limit="user_code.everybody"\} 1$/m)
    // Signed-in people, and those with a device cookie, have a separate share.
    for (const person of [signedIn, known])
      expect((await enterCode(person, started)).$('button[value=approve]')).toHaveLength(1)
    await enterCode(known, UNKNOWN)
    await sql(server, 'update attempt set count = 20 where most = 20')
    expectTooMany(await enterCode(known, started))
    // A revocation voids the device cookie.
    await server.admin.users.signOut({ username: 'ada' })
    await sql(server, 'delete from attempt where most = 20')
    expectTooMany(await enterCode(known, started))
  })
})
