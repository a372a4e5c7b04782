import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { later } from './support/clock.ts'
import { cloneBrowser } from './support/code-flow.ts'
import {
  alertOf,
  approveDevice,
  enterCode,
  pollDevice,
  type Started,
  signInIfAsked,
  startDevice,
} from './support/device-flow.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post, rows, sql, statuses } from './support/http.ts'

const MAC =
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15'

let server: TestServer
let tv: ClientDocument
let username: string
let people = 0

beforeAll(async () => {
  server = await startTestServer({ TRUSTED_PROXIES: '127.0.0.0/8,::1/128' })
  tv = await server.admin.clients.create({
    type: 'device',
    client_name: 'Bridge TV',
    client_uri: 'https://tv.example/',
    policy_uri: 'https://tv.example/privacy',
  })
})
afterAll(() => server?.remove())
beforeEach(async () => {
  username = `ada${people++}`
  await server.admin.users.create({ username, password: PASSWORD })
})

const start = (headers: Record<string, string> = {}) => startDevice(server, tv, undefined, headers)
const poll = (started: Started) => pollDevice(server.url, started, tv)

/** Confirms the user code. @returns the consent page or any other next page. */
async function goToConsent(person: EndUser, started: Started): Promise<Page> {
  const page = await person.submit(await enterCode(person, started), {}, 'approve')
  return await signInIfAsked(person, page, username)
}

async function expectRefused(started: Started, error = 'invalid_grant'): Promise<void> {
  const answer = await poll(started)
  expect(answer).toMatchObject({ status: 400, body: { error } })
  expect(answer.body).not.toHaveProperty('access_token')
}

describe('the device confirmation page', () => {
  test('names the app, its host and policy, the device in words, and when it requested the code (RFC 8628 §5.4)', async () => {
    const started = await start({ 'user-agent': MAC, 'x-forwarded-for': '203.0.113.9' })
    const page = await enterCode(new EndUser(server.issuer), started)
    const facts = page.$('dl').text()
    for (const fact of ['Bridge TV', 'tv.example', 'Safari on macOS', '203.0.113.9'])
      expect(facts).toContain(fact)
    expect(page.$('a[href="https://tv.example/privacy"]')).toHaveLength(1)
    const requestedAt = Date.parse(page.$('dl time').attr('datetime') ?? '')
    expect(Math.abs(Date.now() - requestedAt)).toBeLessThan(60_000)
  })

  test.for([
    ['the same network', '203.0.113.9', '203.0.113.9', 'the same network as this browser', 0],
    ['a neighbour’s', '203.0.113.9', '203.0.113.10', 'another network', 1],
    ['the same /64', '2001:db8:1:2::3', '2001:db8:1:2:9::9', 'the same network as this browser', 0],
    ['another /64', '2001:db8:1:2::3', '2001:db8:1:3::3', 'another network', 1],
    ['one of the other family', '203.0.113.9', '2001:db8:1:2::3', 'perhaps another network', 1],
    ['one of the other family', '2001:db8:1:2::3', '203.0.113.9', 'perhaps another network', 1],
    ['one that the proxy does not name', 'unknown', 'unknown', 'perhaps another network', 1],
  ] as const)(
    'says that the device is in %s, and warns in plain words unless it is near (RFC 8628 §5.4)',
    async ([, device, person, said, warnings]) => {
      const started = await start({ 'x-forwarded-for': device })
      const ada = new EndUser(server.issuer)
      ada.headers['x-forwarded-for'] = person
      const page = await enterCode(ada, started)
      expect(page.$('dl').text()).toContain(said)
      expect(page.$('.notice')).toHaveLength(warnings)
      const [standsOut] = page.$('button[name=action]').toArray().slice(-1)
      expect(page.$(standsOut).attr('value')).toBe(warnings > 0 ? 'deny' : 'approve')
      if (warnings > 0) expect(page.$('.notice').text()).toContain('they would get into your account')
    },
  )
})

describe('two browsers with one code', () => {
  test('that approve at once, at two instances: one continues, the other gets an error (RFC 8628 §5.4)', async () => {
    const urls = isPglite ? [server.url, server.url] : [server.url, (await server.startAnother()).url]
    for (let round = 0; round < 5; round++) {
      const started = await start()
      const browsers = urls.map((url) => new EndUser(server.issuer, url))
      const confirms = await Promise.all(browsers.map((person) => enterCode(person, started)))
      const next = await Promise.all(
        browsers.map((person, index) => person.submit(confirms[index] as Page, {}, 'approve')),
      )
      expect(next.filter((page) => page.$('input[name=password]').length > 0)).toHaveLength(1)
      expect(next.filter((page) => alertOf(page).includes('used already'))).toHaveLength(1)
    }
  })

  test('that approve and deny at once: one decision counts (RFC 8628 §3.3)', async () => {
    const started = await start()
    const [yes, no] = [new EndUser(server.issuer), new EndUser(server.issuer)]
    const confirms = [await enterCode(yes, started), await enterCode(no, started)] as const
    const [onward, denied] = await Promise.all([
      yes.submit(confirms[0], {}, 'approve'),
      no.submit(confirms[1], {}, 'deny'),
    ])
    const isDenied = denied.$('h1').text() === 'Nothing was connected'
    const isTaken = onward.$('input[name=password]').length > 0
    expect(isDenied || isTaken).toBe(true)
    expect((await poll(started)).body.error).toBe(isDenied ? 'access_denied' : 'authorization_pending')
  })

  test('that both consent: the first approval counts, also when both arrive at once', async () => {
    for (let round = 0; round < 5; round++) {
      const started = await start()
      const ada = new EndUser(server.issuer)
      const consent = await goToConsent(ada, started)
      // A copy of the browser: a second click, or stolen cookies.
      const copies = [ada, cloneBrowser(ada), cloneBrowser(ada)]
      const done = await Promise.all(copies.map((copy) => copy.submit(consent, {}, 'approve')))
      expect(done.filter((page) => page.$('h1').text() === 'Your device is connected')).toHaveLength(1)
      const answers = await Promise.all([poll(started), poll(started), poll(started)])
      expect(statuses(answers)).toEqual({ 200: 1, 400: 2 })
    }
  })

  test('of which one clicks twice: it continues with its own code', async () => {
    const started = await start()
    const ada = new EndUser(server.issuer)
    const confirm = await enterCode(ada, started)
    await ada.submit(confirm, {}, 'approve')
    // The second click, whose page replaces that of the first.
    const second = await ada.submit(confirm, {}, 'approve')
    expect(second.status).toBe(400)
    expect(second.$('input[name=user_code]').val()).toBe(started.user_code)
    expect(alertOf(await enterCode(new EndUser(server.issuer), started))).toContain('used already')
    expect((await approveDevice(ada, started, username)).$('h1').text()).toBe('Your device is connected')
    expect((await poll(started)).status).toBe(200)
  })
})

describe('a user code', () => {
  test('that expires while the person signs in: browser and device get an error (RFC 8628 §3.5)', async () => {
    const started = await start()
    const ada = new EndUser(server.issuer)
    const consent = await goToConsent(ada, started)
    await later(601, async () => {
      const page = await ada.submit(consent, {}, 'approve')
      expect(alertOf(page)).toContain('expired')
      // Also when it polls early.
      await expectRefused(started, 'expired_token')
      await expectRefused(started, 'expired_token')
    })
    const { connections } = await devicesOf(ada)
    expect(connections).toBe(0)
  })

  test.skipIf(isPglite)('with a concurrent poll returns 503, and the next poll succeeds', async () => {
    await start()
    await sql(
      server,
      `create function collide() returns trigger language plpgsql as $$ begin
         if new.user_code_hash is not null then
           new.user_code_hash = (select user_code_hash from oidc_token where user_code_hash is not null limit 1);
         end if;
         return new; end $$`,
    )
    await sql(
      server,
      `create trigger collide before insert on oidc_token for each row execute function collide()`,
    )
    const answer = await fetch(`${server.issuer}/device/authorize`, {
      method: 'POST',
      body: new URLSearchParams({ client_id: tv.client_id, scope: 'openid' }),
    })
    await sql(server, 'drop trigger collide on oidc_token')
    expect(answer.status).toBe(503)
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await answer.json()).toMatchObject({ error: 'temporarily_unavailable' })
    await start()
  })

  test.skipIf(isPglite)(
    'that is polled ten times at once gets a longer interval for each early poll (RFC 8628 §3.5)',
    async () => {
      const started = await start()
      const answers = await Promise.all(Array.from({ length: 10 }, () => poll(started)))
      const errors = answers.map(({ body }) => body.error).toSorted()
      expect(errors).toEqual(['authorization_pending', ...Array.from({ length: 9 }, () => 'slow_down')])
      const [row] = await rows<{ seconds: number }>(
        server,
        'select max(poll_interval_seconds) as seconds from oidc_token where poll_interval_seconds is not null',
      )
      expect(row?.seconds).toBe(50)
    },
  )

  test('of another client is rejected without slowing its owner down (RFC 6749 §5.2)', async () => {
    const other = await server.admin.clients.create({ type: 'device', client_name: 'Other TV' })
    const started = await start()
    for (let time = 0; time < 3; time++)
      expect((await pollDevice(server.url, started, other)).body.error).toBe('invalid_grant')
    await expectRefused(started, 'authorization_pending')
  })

  test.skipIf(isPglite)('that was not used is deleted by the cleanup', async () => {
    const started = await start()
    await sql(server, `update oidc_token set expires_at = now() - interval '2 hours' where kind = 5`)
    await server.admin.cleanup.run()
    const left = await rows(server, 'select 1 from oidc_token where kind = 5')
    expect(left).toHaveLength(0)
    await expectRefused(started)
    expect(alertOf(await enterCode(new EndUser(server.issuer), started))).toContain('do not know that code')
  })
})

describe('a device is not connected when its person', () => {
  test.for<[string, () => Promise<unknown>]>([
    ['was disabled', () => server.admin.users.disable({ username })],
    ['was deleted', () => server.admin.users.delete({ username })],
    ['was signed out everywhere', () => server.admin.users.signOut({ username })],
    ['got a new password', () => server.admin.users.setPassword({ username, password: `${PASSWORD} two` })],
  ])('%s after approving: the poll returns invalid_grant (CVE-2026-88770)', async ([, end]) => {
    const started = await start()
    expect((await approveDevice(new EndUser(server.issuer), started, username)).status).toBe(200)
    await end()
    await expectRefused(started)
  })

  test('is disabled before the sign-in page: no sign-in', async () => {
    const started = await start()
    const ada = new EndUser(server.issuer)
    const login = await ada.submit(await enterCode(ada, started), {}, 'approve')
    await server.admin.users.disable({ username })
    const page = await signInIfAsked(ada, login, username)
    expect(page.$('input[name=password]')).toHaveLength(1)
    await expectRefused(started, 'authorization_pending')
  })

  test.for<[string, () => Promise<unknown>]>([
    ['is disabled', () => server.admin.users.disable({ username })],
    ['is deleted', () => server.admin.users.delete({ username })],
  ])('%s on the consent page: the approval is rejected', async ([, end]) => {
    const started = await start()
    const ada = new EndUser(server.issuer)
    const consent = await goToConsent(ada, started)
    await end()
    const page = await ada.submit(consent, {}, 'approve')
    expect(page.status).toBeLessThan(500)
    expect(page.$('h1').text()).not.toBe('Your device is connected')
    const answer = await poll(started)
    expect(answer.status).toBe(400)
    expect(answer.body).not.toHaveProperty('access_token')
  })

  test.for(['confirm', 'consent'] as const)(
    'uses a client that was disabled before the %s page was answered (CVE-2024-38371)',
    async (where) => {
      const client = await server.admin.clients.create({ type: 'device', client_name: 'Old TV' })
      const started = await startDevice(server, client)
      const ada = new EndUser(server.issuer)
      const page = where === 'confirm' ? await enterCode(ada, started) : await goToConsent(ada, started)
      await server.admin.clients.update({ client_id: client.client_id, disabled: true })
      const answer = await ada.submit(page, {}, 'approve')
      expect(answer.status).toBeLessThan(500)
      expect(answer.$('h1').text()).not.toBe('Your device is connected')
      expect((await pollDevice(server.url, started, client)).body.error).toBe('invalid_client')
      await server.admin.clients.update({ client_id: client.client_id, disabled: false })
      expect((await pollDevice(server.url, started, client)).body).not.toHaveProperty('access_token')
    },
  )

  test('refused a scope, with that scope (RFC 6749 §3.3)', async () => {
    const started = await start()
    const ada = new EndUser(server.issuer)
    const consent = await goToConsent(ada, started)
    await ada.submit(consent, { scope: [] }, 'approve')
    const { status, body } = await poll(started)
    expect(status).toBe(200)
    expect(body.scope).toBe('openid')
  })
})

test('a device without any allowed scope gets access_denied, and the page says why', async () => {
  const api = 'https://tides.example.test'
  await server.admin.resources.create({ identifier: api, scope: 'tides:read', format: 'opaque' })
  const client = await server.admin.clients.create({
    type: 'device',
    client_name: 'Tide Clock',
    resources: [api],
  })
  const started = await startDevice(server, client, { scope: 'tides:read', resource: api })
  const ada = new EndUser(server.issuer)
  const page = await ada.submit(await goToConsent(ada, started), { scope: [] }, 'approve')
  expect(page.$('h1').text()).toBe('Nothing was connected')
  expect(page.html).toContain('may not be connected to your account')
  expect((await pollDevice(server.url, started, client)).body.error).toBe('access_denied')
})

/** The devices that the account page lists. */
async function devicesOf(person: EndUser) {
  const page = await person.open('/account')
  return { page, connections: page.$('[aria-labelledby=devices] li').length }
}

describe('a connected device on the account page', () => {
  test('shows where it was approved, and is revoked with its tokens and an audit event', async () => {
    const started = await start()
    const ada = new EndUser(server.issuer)
    Object.assign(ada.headers, { 'user-agent': MAC, 'x-forwarded-for': '203.0.113.77' })
    await approveDevice(ada, started, username)
    // The approved device is listed before its next poll.
    expect((await devicesOf(ada)).connections).toBe(1)
    const { body } = await poll(started)
    const { page } = await devicesOf(ada)
    const item = page.$('[aria-labelledby=devices] li')
    for (const fact of ['Bridge TV', 'Know who you are', '203.0.113.77', 'Safari on macOS'])
      expect(item.text()).toContain(fact)
    const form = new URLSearchParams()
    for (const { name, value } of item.find('form').serializeArray()) form.append(name, value)
    expect((await ada.post('/account/end', form)).status).toBe(200)
    expect((await devicesOf(ada)).connections).toBe(0)
    const headers = { authorization: `Bearer ${String(body.access_token)}` }
    expect((await fetch(`${server.issuer}/userinfo`, { headers })).status).toBe(401)
    const refresh = { grant_type: 'refresh_token', refresh_token: String(body.refresh_token) }
    expect((await post(`${server.issuer}/token`, refresh, { as: tv })).body.error).toBe('invalid_grant')
    if (isPglite) return
    const recorded = await rows<{ detail: unknown }>(
      server,
      `select detail from event where type = 'token.revoked' and grant_id = $1`,
      [form.get('id')],
    )
    expect(recorded).toEqual([{ detail: { by: 'person' } }])
  })

  test('cannot be revoked by another person', async () => {
    const [mine, theirs] = [new EndUser(server.issuer), new EndUser(server.issuer)]
    const started = await start()
    await approveDevice(mine, started, username)
    const id = String((await devicesOf(mine)).page.$('[aria-labelledby=devices] input[name=id]').val())
    await server.admin.users.create({ username: `grace${people}`, password: PASSWORD })
    const login = await theirs.submit(await theirs.open('/account'), {
      username: `grace${people}`,
      password: PASSWORD,
    })
    const csrf = String(login.$('input[name=csrf]').first().val())
    await theirs.post('/account/end', new URLSearchParams({ csrf, what: 'device', id }))
    expect((await poll(started)).status).toBe(200)
  })

  test.skipIf(isPglite)('is listed among the latest fifty, with the total', async () => {
    const ada = new EndUser(server.issuer)
    await approveDevice(ada, await start(), username)
    await sql(
      server,
      `with many as (
         insert into oidc_grant (id, account_sub, client_id, payload, expires_at)
         select 'flood' || n, sub, $1, jsonb_build_object('iat', 1000000 + n), now() + interval '1 day'
         from account, generate_series(1, 2000) as n where username = $2 returning id
       ) insert into oidc_token (id_hash, kind, grant_id, client_id, payload, expires_at)
         select sha256(id::bytea), 3, id, $1, '{"iat": 1000000}', now() + interval '1 day' from many`,
      [tv.client_id, username],
    )
    const { page, connections } = await devicesOf(ada)
    expect(connections).toBe(50)
    expect(page.html).toContain('2,001')
    // A device that is not listed can be revoked, too.
    const csrf = String(page.$('input[name=csrf]').first().val())
    await ada.post('/account/end', new URLSearchParams({ csrf, what: 'device', id: 'flood1' }))
    expect(await rows(server, `select 1 from oidc_grant where id = 'flood1'`)).toHaveLength(0)
  })
})
