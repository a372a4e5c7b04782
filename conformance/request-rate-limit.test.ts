import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { createTestClient, type TestClient } from './support/code-flow.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, post, rows, send, sql, statuses } from './support/http.ts'

let server: TestServer
let app: TestClient
let service: ClientDocument
let tv: ClientDocument

beforeAll(async () => {
  server = await startTestServer({ TRUSTED_PROXIES: '127.0.0.1,::1' })
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  app = await createTestClient(server)
  service = await server.admin.clients.create({ type: 'service', client_name: 'Robot' })
  tv = await server.admin.clients.create({ type: 'device', client_name: 'TV' })
})
afterAll(() => server?.remove())

const from = (address: string) => ({ 'x-forwarded-for': address })

/** Sends a number of requests, 20 at a time. */
async function flood(count: number, request: (index: number) => Promise<Answer>): Promise<Answer[]> {
  const answers: Answer[] = []
  for (let start = 0; start < count; start += 20)
    answers.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(20, count - start) }, (_, index) => request(start + index)),
      )),
    )
  return answers
}

function expectThrottled(answer: Answer | undefined): void {
  expect(answer?.status).toBe(429)
  expect(Number(answer?.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(answer?.headers.get('location')).toBeNull()
  expect(answer?.headers.getSetCookie()).toEqual([])
}

describe('a flood', () => {
  test('of authorization requests from one network is limited, also in stored rows (CWE-770)', async () => {
    const { href: url } = (await app.request()).url
    const ask = (address: string) => send(url, { headers: { ...from(address), accept: 'text/html' } })
    const answers = await flood(360, (index) => ask(`2001:db8:1:1::${index}`))
    expect(statuses(answers)).toEqual({ 303: 300, 429: 60 })
    expectThrottled(answers.at(-1))
    expect(answers.at(-1)?.text).toContain('<html')
    expect((await ask('2001:db8:1:2::1')).status).toBe(303)
    if (isPglite) return
    const stored = await rows<{ count: number }>(server, `select count(*)::int as count from oidc_artifact`)
    // Requests in flight when the limit was reached inserted a row as well.
    expect(stored[0]?.count).toBeLessThanOrEqual(321)
    expect(await rows(server, `select from event where type = 'requests.throttled'`)).toHaveLength(1)
  })

  test('of device authorizations is limited (RFC 8628 §5.1)', async () => {
    const ask = (address: string) =>
      send(`${server.url}/device/authorize`, {
        method: 'POST',
        headers: { ...from(address), 'content-type': 'application/x-www-form-urlencoded' },
        body: `client_id=${tv.client_id}`,
      })
    const answers = await flood(80, () => ask('198.51.100.1'))
    expect(statuses(answers)).toEqual({ 200: 60, 429: 20 })
    expectThrottled(answers.at(-1))
    expect((await ask('198.51.100.2')).status).toBe(200)
  })

  test.skipIf(isPglite)('of concurrent requests stores no more rows than one over time', async () => {
    const count = async () =>
      (await rows<{ count: number }>(server, `select count(*)::int as count from oidc_session`))[0]?.count ??
      0
    const before = await count()
    const answers = await Promise.all(
      Array.from({ length: 600 }, () =>
        send(`${server.url}/device`, { headers: { ...from('198.51.100.9'), accept: 'text/html' } }),
      ),
    )
    expect(statuses(answers)).toEqual({ 200: 300, 429: 300 })
    // Requests in flight when the limit was reached inserted a row as well.
    expect((await count()) - before).toBeLessThanOrEqual(316)
  })

  test('of pages that create anonymous sessions is limited', async () => {
    const answers = await flood(320, (index) =>
      send(`${server.url}${index % 2 ? '/device' : '/logout'}`, {
        headers: { ...from('198.51.100.3'), accept: 'text/html', cookie: `sallyport_session=x${index}` },
      }),
    )
    expect(statuses(answers)).toEqual({ 200: 300, 429: 20 })
    expectThrottled(answers.at(-1))
  })
})

/** SQL replaces most of a flood of thousands of requests. */
describe.skipIf(isPglite)('a flood from many /64s of IPv6', () => {
  const ask = (address: string) =>
    send(`${server.url}/device/authorize`, {
      method: 'POST',
      headers: { ...from(address), 'content-type': 'application/x-www-form-urlencoded' },
      body: `client_id=${tv.client_id}`,
    })
  const guess = (address: string) =>
    send(`${server.url}/userinfo`, { headers: { ...from(address), authorization: 'Bearer guess' } })
  const almostReach = (most: number) =>
    sql(server, `update attempt set count = ${most - 1} where most = ${most} and expires_at > now()`)

  test.for([
    [
      'a /56',
      240,
      '2001:db8:20:1200::1',
      ['2001:db8:20:12ff::1', '2001:db8:20:1201::1'],
      '2001:db8:20:1300::1',
    ],
    ['a /48', 960, '2001:db8:21:1::1', ['2001:db8:21:ff00::1', '2001:DB8:21:8001::1'], '2001:db8:22:1::1'],
  ] as const)('is limited in %s', async ([, most, first, [last, over], neighbour]) => {
    expect((await ask(first)).status).toBe(200)
    await almostReach(most)
    expect((await ask(last)).status).toBe(200)
    expectThrottled(await ask(over))
    expect((await ask(neighbour)).status).toBe(200)
  })

  test('with guessed tokens is rejected, and a rejected /64 does not count against wider networks', async () => {
    expect((await guess('2001:db8:30:1::1')).status).toBe(401)
    await almostReach(120)
    expect((await guess('2001:db8:30:1::2')).status).toBe(401)
    const statuses: number[] = []
    for (let time = 0; time < 5; time++) statuses.push((await guess('2001:db8:30:1::3')).status)
    expect(statuses).toEqual([429, 429, 429, 429, 429])
    const [wide] = await rows<{ counts: number[] }>(
      server,
      `select array_agg(count order by most) as counts from attempt where most in (480, 1920) and expires_at > now()`,
    )
    expect(wide?.counts).toEqual([2, 2])
  })

  test('from an IPv4 address embedded in IPv6 counts as that address (6to4, NAT64)', async () => {
    expect((await ask('198.51.100.20')).status).toBe(200)
    await almostReach(60)
    expect((await ask('2002:c633:6414::1')).status).toBe(200)
    expectThrottled(await ask('64:ff9b::198.51.100.20'))
    expectThrottled(await ask('::ffff:198.51.100.20'))
  })
})

describe('a rate limit of wrong credentials', () => {
  test('at a client secret applies to one network and to many; the right secret still works (RFC 6749 §2.3.1)', async () => {
    const guess = (address: string) =>
      post(
        `${server.url}/token`,
        { grant_type: 'client_credentials' },
        { as: { ...service, client_secret: 'wrong' }, headers: from(address) },
      )
    const near = await flood(40, () => guess('198.51.100.4'))
    expect(statuses(near)).toEqual({ 401: 20, 429: 20 })
    expectThrottled(near.at(-1))
    const far = await flood(20, (index) => guess(`198.51.101.${index}`))
    expect(statuses(far)).toEqual({ 429: 20 })
    const right = await post(
      `${server.url}/token`,
      { grant_type: 'client_credentials' },
      { as: service, headers: from('198.51.100.4') },
    )
    expect(right.status).toBe(200)
    if (isPglite) return
    const [event] = await rows<{ client_id: string }>(
      server,
      `select client_id from event where type = 'requests.throttled' and detail ->> 'limit' like 'client_authentication.%'`,
    )
    expect(event?.client_id).toBe(service.client_id)
  })

  test('at an unknown client is recorded when its client_id is cut inside a character', async () => {
    const clientId = `${'x'.repeat(255)}😀`
    const guess = () =>
      post(
        `${server.url}/token`,
        { grant_type: 'client_credentials', client_id: clientId, client_secret: 'wrong' },
        { headers: from('203.0.113.6') },
      )
    expect(statuses(await flood(40, guess))).toEqual({ 401: 20, 429: 20 })
    if (isPglite) return
    const recorded = await rows(
      server,
      `select from event where type = 'requests.throttled' and client_id like 'xxx%'`,
    )
    expect(recorded).toHaveLength(1)
  })

  test('at a client secret counts all spellings of the client together (RFC 6749 §2.3.1)', async () => {
    const { client_id: id } = await server.admin.clients.create({ type: 'service', client_name: 'Robot 2' })
    const spelt = (index: number) =>
      [...id]
        .map((letter, at) => ((index >> at) & 1 ? `%${letter.charCodeAt(0).toString(16)}` : letter))
        .join('')
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const assertion = (index: number) =>
      `${encode({ alg: 'RS256' })}.${encode({ iss: id, sub: id, aud: server.issuer, jti: String(index) })}.c2lnbmVk`
    const guesses = await flood(48, (index) => {
      const form = { grant_type: 'client_credentials' }
      const headers = from('198.51.100.8')
      if (index % 3 === 0)
        return post(
          `${server.url}/token`,
          {
            ...form,
            client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
            client_assertion: assertion(index),
          },
          { headers },
        )
      const authorization = `Basic ${Buffer.from(`${spelt(index)}:wrong`).toString('base64')}`
      return post(`${server.url}/token`, form, { headers: { ...headers, authorization } })
    })
    expect(statuses(guesses)).toEqual({ 401: 20, 429: 28 })
  })

  test('at unknown clients stores a bounded number of rows', async () => {
    const answers = await flood(160, (index) =>
      post(
        `${server.url}/token`,
        { grant_type: 'client_credentials', client_id: `nobody-${index}`, client_secret: 'x' },
        { headers: from('198.51.100.5') },
      ),
    )
    expect(statuses(answers)).toEqual({ 401: 120, 429: 40 })
  })

  test('at tokens and codes returns Retry-After', async () => {
    const tokens = await flood(70, (index) =>
      send(`${server.url}/userinfo`, {
        headers: { ...from('198.51.100.6'), authorization: `Bearer guess${index}` },
      }),
    )
    expect(statuses(tokens)).toEqual({ 401: 70 })
    const codes = await flood(60, (index) =>
      post(
        `${server.url}/token`,
        {
          grant_type: 'authorization_code',
          code: `guess${index}`,
          redirect_uri: 'https://app.example.test/callback',
          code_verifier: 'x'.repeat(43),
        },
        { as: app.client, headers: from('198.51.100.6') },
      ),
    )
    expect(statuses(codes)).toEqual({ 400: 50, 429: 10 })
    expectThrottled(codes.at(-1))
  })
})

test.skipIf(isPglite)('instances share their counters', async () => {
  const other = await server.startAnother()
  const guess = (url: string) =>
    post(
      `${url}/token`,
      { grant_type: 'client_credentials' },
      { as: { ...app.client, client_secret: 'no' }, headers: from('198.51.100.7') },
    )
  const answers = await flood(30, (index) => guess(index % 2 ? server.url : other.url))
  expect(statuses(answers)).toEqual({ 401: 20, 429: 10 })
  await other.stop()
})
