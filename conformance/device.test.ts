import { setTimeout as pause } from 'node:timers/promises'
import * as client from 'openid-client'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { later } from './support/clock.ts'
import { approveDevice, enterCode, pollDevice, type Started, startDevice } from './support/device-flow.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, type Form, letPollIntervalPass, post, sql, statuses } from './support/http.ts'
import { createRelyingParty } from './support/relying-party.ts'

const SCOPE = 'openid profile offline_access'

let server: TestServer
let tv: ClientDocument
let other: ClientDocument
let ada: EndUser

beforeAll(async () => {
  server = await startTestServer()
  for (const username of ['ada', 'grace']) await server.admin.users.create({ username, password: PASSWORD })
  tv = await server.admin.clients.create({ type: 'device', client_name: 'Bridge TV' })
  other = await server.admin.clients.create({ type: 'device', client_name: 'Other TV' })
})
afterAll(() => server?.remove())
beforeEach(() => {
  ada = new EndUser(server.issuer)
})

const start = (form?: Form, headers?: Record<string, string>) => startDevice(server, tv, form, headers)

const poll = (started: Started, as = tv, target = server.issuer) => pollDevice(target, started, as)

function expectError(answer: Answer, error: unknown): void {
  expect(answer).toMatchObject({ status: 400, body: { error } })
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.body).not.toHaveProperty('access_token')
}

describe('a device', () => {
  test('signs in the person whose browser approves it (RFC 8628 §3)', async () => {
    const app = await createRelyingParty(server.issuer, tv)
    const started = await client.initiateDeviceAuthorization(app.config, { scope: SCOPE })
    expect(started).toEqual({
      device_code: expect.stringMatching(/^[\w-]{43,}$/),
      user_code: expect.stringMatching(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/),
      verification_uri: `${server.issuer}/device`,
      verification_uri_complete: `${server.issuer}/device?user_code=${started.user_code}`,
      expires_in: 600,
      interval: 5,
    })
    const done = await approveDevice(ada, started as Started)
    expect(done.status).toBe(200)
    expect(done.$('h1').text()).toBe('Your device is connected')

    const tokens = await client.pollDeviceAuthorizationGrant(app.config, started)
    expect(tokens).toMatchObject({ token_type: 'bearer', expires_in: 900 })
    expect(tokens.scope?.split(' ').toSorted()).toEqual(SCOPE.split(' ').toSorted())
    const { sub = '' } = tokens.claims() ?? {}
    expect(await client.fetchUserInfo(app.config, tokens.access_token, sub)).toMatchObject({
      preferred_username: 'ada',
    })
    const refreshed = await client.refreshTokenGrant(app.config, tokens.refresh_token ?? '')
    expect(refreshed.refresh_token).not.toBe(tokens.refresh_token)
  })

  test.for<[string, number, string, Form, () => Parameters<typeof post>[2]]>([
    ['an unknown client', 401, 'invalid_client', {}, () => ({ as: { client_id: 'nobody' } })],
    ['a foreign scope', 400, 'invalid_scope', { scope: 'openid "' }, () => ({ as: tv })],
    [
      'an unknown resource',
      400,
      'invalid_target',
      { resource: 'https://x.example.test' },
      () => ({ as: tv }),
    ],
    [
      'a scope twice',
      400,
      'invalid_request',
      [
        ['scope', 'openid'],
        ['scope', 'email'],
      ],
      () => ({ as: tv }),
    ],
  ])('that sends %s gets %i %s (RFC 8628 §3.1)', async ([, status, error, form, options]) => {
    const answer = await post(`${server.issuer}/device/authorize`, form, options())
    expect(answer).toMatchObject({ status, body: { error } })
  })

  test('of a client without the device grant gets unauthorized_client (RFC 6749 §5.2)', async () => {
    const service = await server.admin.clients.create({ type: 'service', client_name: 'Bot' })
    const answer = await post(`${server.issuer}/device/authorize`, {}, { as: service })
    expectError(answer, 'unauthorized_client')
  })

  test('that polls before the decision gets authorization_pending (RFC 8628 §3.5)', async () => {
    const started = await start()
    expectError(await poll(started), 'authorization_pending')
    await ada.submit(await enterCode(ada, started), {}, 'approve')
    await letPollIntervalPass(server)
    expectError(await poll(started), 'authorization_pending')
  })

  test('that polls too fast gets slow_down, which adds five seconds each time (RFC 8628 §3.5)', async () => {
    const started = await start()
    expectError(await poll(started), 'authorization_pending')
    expectError(await poll(started), 'slow_down')
    if (isPglite) await pause(5_200)
    else await sql(server, `update oidc_token set polled_at = polled_at - interval '5.2 s'`)
    // Five seconds were enough before; now they are ten.
    expectError(await poll(started), 'slow_down')
  })

  test.skipIf(isPglite)('gets slow_down from another instance as well (RFC 8628 §3.5)', async () => {
    const { url } = await server.startAnother()
    const started = await start()
    expectError(await poll(started), 'authorization_pending')
    expectError(await poll(started, tv, url), 'slow_down')
    await sql(
      server,
      `update oidc_token set polled_at = polled_at - interval '9 seconds' where polled_at is not null`,
    )
    expectError(await poll(started), 'slow_down')
    await sql(
      server,
      `update oidc_token set polled_at = polled_at - interval '16 seconds' where polled_at is not null`,
    )
    expectError(await poll(started, tv, url), 'authorization_pending')
  })

  test('that the person denies gets access_denied, and no tokens afterwards (RFC 8628 §3.5)', async () => {
    const started = await start()
    const page = await ada.submit(await enterCode(ada, started), {}, 'deny')
    expect(page.$('h1').text()).toBe('Nothing was connected')
    expectError(await poll(started), 'access_denied')
    expect((await poll(started)).status).toBe(400)
    const again = await enterCode(ada, started)
    expect(again.$('input[name=user_code][type=text]')).toHaveLength(1)
    expect(again.html).not.toContain('value="approve"')
  })

  test('whose person refuses consent gets access_denied (RFC 8628 §3.5)', async () => {
    const started = await start()
    let page = await ada.submit(await enterCode(ada, started), {}, 'approve')
    page = await ada.submit(page, { username: 'ada', password: PASSWORD })
    page = await ada.submit(page, {}, 'deny')
    expect(page.$('h1').text()).toBe('Nothing was connected')
    expectError(await poll(started), 'access_denied')
  })

  test('whose code is older than ten minutes gets expired_token, and the page says so (RFC 8628 §3.5)', async () => {
    const started = await start()
    const [answer, page] = await later(
      601,
      async () => [await poll(started), await enterCode(ada, started)] as const,
    )
    expectError(answer, 'expired_token')
    expect(page.$('[role=alert]').text()).toContain('expired')
  })

  test('gets tokens once, of ten polls at once, and then invalid_grant (RFC 8628 §3.5)', async () => {
    const started = await start()
    await approveDevice(ada, started)
    const answers = await Promise.all(Array.from({ length: 10 }, () => poll(started)))
    expect(statuses(answers)).toEqual({ 200: 1, 400: 9 })
    const winner = answers.find(({ status }) => status === 200)?.body
    expectError(await poll(started), 'invalid_grant')
    const { client_id } = tv
    const refresh = { grant_type: 'refresh_token', refresh_token: String(winner?.refresh_token), client_id }
    expect((await post(`${server.issuer}/token`, refresh)).status).toBe(200)
  })

  test('that uses the code of another client is rejected, and the code stays valid (RFC 6749 §5.2)', async () => {
    const started = await start()
    await approveDevice(ada, started)
    expectError(await poll(started, other), 'invalid_grant')
    expectError(await poll(started, other), 'invalid_grant')
    expect((await poll(started)).status).toBe(200)
  })

  test.for([
    ['unknown', 'x'.repeat(43)],
    ['the user code', 'USER'],
    ['missing', ''],
  ])('with a device code that is %s gets 400 (RFC 8628 §3.5)', async ([, given]) => {
    const started = await start()
    const device_code = given === 'USER' ? started.user_code : (given ?? '')
    expectError(await poll({ ...started, device_code }), device_code ? 'invalid_grant' : 'invalid_request')
  })

  test('whose person was disabled after approving gets invalid_grant (CVE-2026-88770)', async () => {
    const started = await start()
    await approveDevice(ada, started, 'grace')
    await server.admin.users.disable({ username: 'grace' })
    expectError(await poll(started), 'invalid_grant')
  })

  test('keeps its tokens when the approving browser signs out', async () => {
    for (const scope of [SCOPE, 'openid']) {
      const started = await start({ scope })
      await approveDevice(ada, started)
      const { body } = await poll(started)
      const done = await ada.submit(await ada.open('/logout'), {}, 'approve')
      expect(done.$('h1').text()).toBe('You are signed out')
      const userinfo = await fetch(`${server.issuer}/userinfo`, {
        headers: { authorization: `Bearer ${String(body.access_token)}` },
      })
      expect(userinfo.status).toBe(200)
      const refreshed = await post(
        `${server.issuer}/token`,
        { grant_type: 'refresh_token', refresh_token: String(body.refresh_token) },
        { as: tv },
      )
      expect(refreshed.status, refreshed.text).toBe(200)
    }
  })
})

describe('the page where a person enters the code', () => {
  test.for<[string, (code: string) => string]>([
    ['in lower case', (code) => code.toLowerCase()],
    ['without the dash', (code) => code.replace('-', '')],
    ['with spaces', (code) => ` ${code.toLowerCase().replace('-', ' ')} `],
  ])('accepts the code %s (RFC 8628 §6.1)', async ([, spell]) => {
    const started = await start()
    const page = await enterCode(ada, { ...started, user_code: spell(started.user_code) })
    expect(page.status).toBe(200)
    expect(page.$('.code').text()).toBe(started.user_code)
  })

  test.for([
    [
      'full-width letters',
      (code: string) =>
        code.replace(/[A-Z]/g, (letter) => String.fromCodePoint((letter.codePointAt(0) ?? 0) + 0xfee0)),
      'half width',
    ],
    ['an underscore', (code: string) => code.replace('-', '_'), 'half width'],
    ['a letter of another script in it', (code: string) => `${code}\u0412`, 'half width'],
    ['punctuation in it', (code: string) => `${code}.`, 'half width'],
    ['a digit', (code: string) => code.replace(/^./, '0'), 'no digits'],
    ['a letter too many', (code: string) => `${code}B`, '8 letters'],
  ] as const)('rejects a code with %s, and describes the format (RFC 8628 §6.1)', async ([, spell, hint]) => {
    const started = await start()
    const page = await enterCode(new EndUser(server.issuer), { user_code: spell(started.user_code) })
    expect(page.status).toBe(400)
    expect(page.$('[role=alert]').text()).toContain('do not know that code')
    expect(page.$('#hint').text()).toContain(hint)
    expectError(await poll(started), 'authorization_pending')
  })

  test('shows code, app and device before the approval (RFC 8628 §5.4)', async () => {
    const started = await start(
      { scope: 'openid' },
      { 'user-agent': 'BridgeOS/7 <img src=x onerror=alert(1)>' },
    )
    const page = await ada.open(started.verification_uri_complete)
    expect(page.$('input[name=user_code]').val()).toBe(started.user_code)
    const confirm = await ada.submit(page)
    expect(confirm.$('.code').text()).toBe(started.user_code)
    expect(confirm.$('dl').text()).toContain('Bridge TV')
    expect(confirm.$('dl').text()).toContain('BridgeOS/7 <img src=x onerror=alert(1)>')
    expect(confirm.$('img')).toHaveLength(0)
    expect(confirm.html).not.toContain('<img src=x')
    // Opening the page approves nothing (RFC 8628 §3.3.1).
    await ada.open(started.verification_uri_complete)
    expectError(await poll(started), 'authorization_pending')
  })

  test.for<[what: string, device: Record<string, string>, person: Record<string, string>]>([
    [
      'the device and the person',
      { 'x-forwarded-for': '203.0.113.9' },
      { 'x-forwarded-for': '198.51.100.7' },
    ],
    ['the device', { 'x-forwarded-for': '203.0.113.9' }, {}],
    ['the person', {}, { forwarded: 'for=203.0.113.9' }],
  ])('warns when %s came through a proxy that is not trusted (RFC 8628 §5.4)', async ([, device, person]) => {
    const started = await start({ scope: 'openid' }, device)
    const bob = new EndUser(server.issuer)
    bob.headers = person
    const page = await enterCode(bob, started)
    expect(page.$('dl').text()).not.toContain('the same network')
    expect(page.$('.notice').text()).toContain('another network')
  })

  test('asks again when the person is signed in and consented to the app before (RFC 8628 §5.4)', async () => {
    await approveDevice(ada, await start())
    const started = await start()
    const confirm = await enterCode(ada, started)
    expect(confirm.$('button[value=approve]')).toHaveLength(1)
    const consent = await ada.submit(confirm, {}, 'approve')
    expect(consent.$('input[name=password]')).toHaveLength(0)
    expect(consent.$('h1').text()).toContain('Bridge TV')
    expectError(await poll(started), 'authorization_pending')
  })

  test.for([
    'BBBB-BBBB',
    '"><script>alert(1)</script>',
    '%',
    "'; drop table oidc_token; --",
    '',
    'a'.repeat(5000),
    '\uff22\uff23\uff24\uff26-\uff27\uff28\uff2a\uff2b',
  ])('rejects the code %s (RFC 8628 §3.3)', async (user_code) => {
    const page = await ada.submit(await ada.open('/device'), { user_code })
    expect(page.status).toBeLessThan(500)
    expect(page.$('[role=alert]')).toHaveLength(1)
    expect(page.$('script:not([src^="/assets/page.js?v="])')).toHaveLength(0)
    expect(page.$('button[value=approve]')).toHaveLength(0)
  })

  test('forbids frames and caching (RFC 9700 §4.16)', async () => {
    const confirm = await enterCode(ada, await start())
    for (const { headers } of [await ada.open('/device'), confirm]) {
      expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
      expect(headers.get('x-frame-options')).toBe('DENY')
      expect(headers.get('cache-control')).toBe('no-store')
    }
  })

  test('rejects an approval without the CSRF token of the session, or from another site (RFC 8628 §5.4)', async () => {
    const started = await start()
    const confirm = await enterCode(ada, started)
    const foreign = await enterCode(new EndUser(server.issuer), await start())
    const [xsrf, foreignXsrf] = [confirm, foreign].map((page) => String(page.$('input[name=xsrf]').val()))
    // A rejected token is replaced, so the request with the right token comes first.
    const attempts: [number, Record<string, string>, Record<string, string>][] = [
      [403, { xsrf: xsrf ?? '' }, { 'sec-fetch-site': 'cross-site' }],
      [403, { xsrf: xsrf ?? '' }, { 'sec-fetch-site': 'same-site' }],
      [400, {}, {}],
      [400, { xsrf: '' }, {}],
      [400, { xsrf: foreignXsrf ?? '' }, {}],
    ]
    for (const [status, fields, headers] of attempts) {
      ada.headers = headers
      const form = new URLSearchParams({ user_code: started.user_code, action: 'approve', ...fields })
      expect((await ada.post('/device', form)).status).toBe(status)
    }
    ada.headers = {}
    // An approval, even an incomplete one, would have spent the code.
    const again = await enterCode(ada, started)
    expect(again.$('button[value=approve]')).toHaveLength(1)
    expectError(await poll(started), 'authorization_pending')
  })

  test('shows only the device of the entered code (RFC 8628 §5.1)', async () => {
    const [first, second] = [await start(), await start()]
    expect(first.user_code).not.toBe(second.user_code)
    await approveDevice(ada, first)
    expectError(await poll(second), 'authorization_pending')
    expect((await poll(first)).status).toBe(200)
    const used = await enterCode(new EndUser(server.issuer), first)
    expect(used.$('[role=alert]').text()).toContain('used')
  })

  test('lets one of two people with the same code approve it (RFC 8628 §5.4)', async () => {
    const started = await start()
    const people = [ada, new EndUser(server.issuer)]
    const confirms = await Promise.all(people.map((person) => enterCode(person, started)))
    const next = await Promise.all(
      people.map((person, index) => person.submit(confirms[index] as Page, {}, 'approve')),
    )
    for (const [index, page] of next.entries()) {
      if (page.$('input[name=password]').length === 0) continue
      const consent = await people[index]?.submit(page, { username: 'ada', password: PASSWORD })
      if (consent?.$('button[value=approve]').length) await people[index]?.submit(consent, {}, 'approve')
    }
    const answer = await poll(started)
    expect(answer.status, answer.text).toBe(200)
    expect((await poll(started)).status).toBe(400)
  })
})
