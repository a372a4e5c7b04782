import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { later } from './support/clock.ts'
import { cloneBrowser, createTestClient, type TestClient, userinfoStatus } from './support/code-flow.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post, rows, send } from './support/http.ts'

const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'
const SAFARI =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1'

let server: TestServer
let app: TestClient
let trusted: TestClient
let username: string
let people = 0

beforeAll(async () => {
  server = await startTestServer()
  app = await createTestClient(server, {
    client_name: 'Harbour Dashboard',
    client_uri: 'https://harbour.example/',
  })
  trusted = await createTestClient(server, { client_name: 'House App', first_party: true })
})
afterAll(() => server?.remove())
beforeEach(async () => {
  username = `ada${people++}`
  await server.admin.users.create({ username, password: PASSWORD })
})

function browser(userAgent = FIREFOX): EndUser {
  const user = new EndUser(server.issuer)
  user.headers['user-agent'] = userAgent
  return user
}

/** Signs in on the account page itself. */
async function openAccount(user = browser(), fields: Record<string, string> = {}): Promise<Page> {
  const page = await user.open('/account')
  return page.$('input[name=password]').length > 0
    ? await user.submit(page, { username, password: PASSWORD, ...fields })
    : page
}

/** Submits the button of the list item that contains this text. */
async function end(user: EndUser, page: Page, words: string): Promise<Page> {
  const { $ } = page
  const item = $('li').filter((_, element) => $(element).text().includes(words))
  expect(item.length, `${words} in ${$('main').text()}`).toBe(1)
  const form = new URLSearchParams()
  for (const { name, value } of item.find('form').serializeArray()) form.append(name, value)
  return await user.post(item.find('form').attr('action') ?? '', form)
}

async function connectDevice(user: EndUser, name = 'Bridge TV') {
  const tv = await server.admin.clients.create({ type: 'device', client_name: name })
  const { body } = await post(
    `${server.url}/device/authorize`,
    { scope: 'openid offline_access' },
    { as: tv },
  )
  let page = await user.open(`/device?user_code=${String(body.user_code)}`)
  page = await user.submit(page)
  page = await user.submit(page, {}, 'approve')
  if (page.$('button[name=action][value=approve]').length > 0) page = await user.submit(page, {}, 'approve')
  const form = { grant_type: DEVICE_GRANT, device_code: String(body.device_code) }
  const answer = await post(`${server.url}/token`, form, { as: tv })
  expect(answer.status, answer.text).toBe(200)
  const refreshToken = String(answer.body.refresh_token)
  return {
    tv,
    refresh: () =>
      post(`${server.url}/token`, { grant_type: 'refresh_token', refresh_token: refreshToken }, { as: tv }),
  }
}

const isSignedIn = async (user: EndUser) => (await trusted.authorizeSilently(user)).has('code')
const getTokens = (from: TestClient, user: EndUser, scope = 'openid') =>
  from.getTokens({ scope }, user, username)

describe('the account page', () => {
  test('asks for sign-in, and lists the sessions with the current one marked', async () => {
    const user = browser()
    const page = await openAccount(user)
    expect(page.url).toBe(`${server.issuer}/account`)
    expect(page.$('h1').text()).toBe('Your account')
    const items = page.$('[aria-labelledby=browsers] li')
    expect(items).toHaveLength(1)
    expect(items.text()).toContain('Firefox on Linux')
    expect(items.text()).toContain('this browser')
    expect(items.text()).toContain('127.0.0.1')
    const elsewhere = browser(SAFARI)
    await openAccount(elsewhere, { remember: 'yes' })
    const again = await user.open('/account')
    expect(again.$('[aria-labelledby=browsers] li')).toHaveLength(2)
    const other = again
      .$('[aria-labelledby=browsers] li')
      .filter((_, li) => !again.$(li).text().includes('this browser'))
    expect(other.text()).toContain('Safari on iOS')
    expect(other.text()).toContain('remembered until')
  })

  test('counts as use of the session, up to its absolute limit (ASVS 7.3)', async () => {
    const user = browser()
    await openAccount(user)
    for (let minutes = 20; minutes < 24 * 60; minutes += 25)
      await later(minutes * 60, async () => {
        expect((await user.open('/account')).$('h1').text(), `after ${minutes} minutes`).toBe('Your account')
      })
    const cookie = await user.jar.getCookieString(server.issuer)
    await later(24 * 3600 + 60, async () => {
      const again = browser()
      again.headers.cookie = cookie
      expect((await again.open('/account')).url).toContain('/account/sign-in')
    })
  })

  test('shares its session with authorization requests', async () => {
    const user = browser()
    await openAccount(user)
    expect(await isSignedIn(user)).toBe(true)
    const { user: fromApp } = await trusted.getCode({}, browser(), username)
    expect((await fromApp.open('/account')).$('h1').text()).toBe('Your account')
  })

  test('lists the connected apps with their scopes, and the devices', async () => {
    const user = browser()
    await openAccount(user)
    await getTokens(app, user, 'openid email offline_access')
    await connectDevice(user)
    const page = await user.open('/account')
    const apps = page.$('[aria-labelledby=apps] li').text()
    expect(apps).toContain('Harbour Dashboard')
    expect(apps).toContain('harbour.example')
    expect(apps).toContain('See your e-mail address')
    expect(page.$('[aria-labelledby=devices] li').text()).toContain('Bridge TV')
  })

  test('shows only the signed-in user’s data, and forbids caching', async () => {
    const user = browser()
    await openAccount(user)
    await server.admin.users.create({ username: `eve${people}`, password: PASSWORD })
    const eve = browser()
    const first = await eve.open('/account')
    const page = await eve.submit(first, { username: `eve${people}`, password: PASSWORD })
    expect(page.html).not.toContain(username)
    expect(page.headers.get('cache-control')).toBe('no-store')
    // She cannot revoke an item of another account.
    const mine = (await user.open('/account')).$('input[name=what][value=browser] + input[name=id]').val()
    const form = new URLSearchParams({
      csrf: String(page.$('input[name=csrf]').first().val()),
      what: 'browser',
      id: String(mine),
    })
    await eve.post('/account/end', form)
    expect(await isSignedIn(user)).toBe(true)
  })

  test('rejects a form without the CSRF token of the session, or from another site (CWE-352)', async () => {
    const user = browser()
    const page = await openAccount(user)
    const id = String(page.$('input[name=id]').first().val())
    const other = await openAccount(browser())
    for (const csrf of ['', 'x', String(other.$('input[name=csrf]').first().val())]) {
      const answer = await user.post('/account/end', new URLSearchParams({ csrf, what: 'browser', id }))
      expect(answer.status).toBe(403)
    }
    const csrf = String(page.$('input[name=csrf]').first().val())
    for (const headers of [{ origin: 'https://evil.test' }, { 'sec-fetch-site': 'cross-site' }]) {
      const answer = await send(`${server.url}/account/sign-out-everywhere`, {
        method: 'POST',
        body: new URLSearchParams({ csrf }),
        headers: { cookie: await user.jar.getCookieString(server.issuer), ...headers },
      })
      expect(answer.status).toBe(403)
    }
    expect(await isSignedIn(user)).toBe(true)
    const signIn = await browser().open('/account')
    const stranger = browser()
    const posted = new URLSearchParams({
      csrf: String(signIn.$('input[name=csrf]').val()),
      username,
      password: PASSWORD,
    })
    expect((await stranger.post('/account/sign-in', posted)).status).toBe(403)
  })

  test('redirects only to its own pages, whatever the URL says (OWASP ASVS 3.7.2)', async () => {
    for (const path of ['/account?return_to=//evil.test', '/account/sign-in?next=https://evil.test'])
      expect((await browser().open(`${server.issuer}${path}`)).leftTo).toBeUndefined()
  })
})

describe('revoking one item', () => {
  test('another browser: revokes its session and tokens, and keeps this one', async () => {
    const user = browser()
    const elsewhere = browser(SAFARI)
    await openAccount(elsewhere, { remember: 'yes' })
    const { refreshToken, accessToken } = await getTokens(trusted, elsewhere, 'openid offline_access')
    const page = await openAccount(user)
    const after = await end(user, page, 'Safari')
    expect(after.html).toContain('no longer has access')
    expect(after.$('[aria-labelledby=browsers] li')).toHaveLength(1)
    expect(await isSignedIn(cloneBrowser(elsewhere))).toBe(false)
    expect(await isSignedIn(user)).toBe(true)
    expect((await trusted.refresh(refreshToken)).body.error).toBe('invalid_grant')
    expect(await userinfoStatus(server, accessToken)).toBe(401)
    // The browser was remembered: it is not any more.
    elsewhere.jar.setCookieSync('sallyport_session=; Path=/; Max-Age=0', server.issuer)
    expect(await isSignedIn(elsewhere)).toBe(false)
  })

  test('this browser: says that the person is signed out', async () => {
    const user = browser()
    const before = cloneBrowser(user)
    const page = await openAccount(user)
    const after = await end(user, page, 'this browser')
    expect(after.html).toMatch(/You are signed out/)
    expect(await isSignedIn(user)).toBe(false)
    expect(await isSignedIn(before)).toBe(false)
  })

  test('a remembered browser without a session', async () => {
    const elsewhere = browser(SAFARI)
    await openAccount(elsewhere, { remember: 'yes' })
    await later(3600, async () => {
      const user = browser()
      const page = await openAccount(user)
      expect(page.$('[aria-labelledby=remembered] li').text()).toContain('Safari on iOS')
      await end(user, page, 'Safari')
      expect(await isSignedIn(elsewhere)).toBe(false)
    })
  })

  test('a device: revokes its tokens alone', async () => {
    const user = browser()
    await openAccount(user)
    const tv = await connectDevice(user, 'Kitchen TV')
    const radio = await connectDevice(user, 'Bath Radio')
    const after = await end(user, await user.open('/account'), 'Kitchen TV')
    expect(after.html).not.toContain('Kitchen TV')
    expect((await tv.refresh()).body.error).toBe('invalid_grant')
    expect((await radio.refresh()).status).toBe(200)
    expect(await isSignedIn(user)).toBe(true)
  })

  test('an app: revokes its tokens in every browser and its consent (ASVS 10.7.3)', async () => {
    const user = browser()
    await openAccount(user)
    const here = await getTokens(app, user, 'openid offline_access')
    const there = await getTokens(app, browser(SAFARI), 'openid offline_access')
    const others = await getTokens(trusted, user, 'openid')
    await end(user, await user.open('/account'), 'Harbour Dashboard')
    for (const { refreshToken, accessToken } of [here, there]) {
      expect((await app.refresh(refreshToken)).body.error).toBe('invalid_grant')
      expect(await userinfoStatus(server, accessToken)).toBe(401)
    }
    expect((await app.authorizeSilently(user)).get('error')).toBe('consent_required')
    expect((await trusted.refresh(others.refreshToken)).status).toBe(200)
  })
})

describe('signing out everywhere', () => {
  test('revokes every session, device, consent and token', async () => {
    const user = browser()
    const elsewhere = browser(SAFARI)
    await openAccount(elsewhere, { remember: 'yes' })
    const copy = cloneBrowser(elsewhere)
    await openAccount(user)
    const tokens = await Promise.all([
      getTokens(app, user, 'openid offline_access'),
      getTokens(trusted, elsewhere, 'openid'),
    ])
    const device = await connectDevice(user)
    const page = await user.open('/account')
    const form = page.$('form[action="/account/sign-out-everywhere"]')
    const left = await user.post(form.attr('action') ?? '', new URLSearchParams(form.serialize()))
    expect(left.html).toMatch(/You are signed out/)
    for (const someone of [user, elsewhere, copy]) expect(await isSignedIn(someone)).toBe(false)
    expect((await app.refresh(tokens[0].refreshToken)).body.error).toBe('invalid_grant')
    expect((await trusted.refresh(tokens[1].refreshToken)).body.error).toBe('invalid_grant')
    for (const { accessToken } of tokens) expect(await userinfoStatus(server, accessToken)).toBe(401)
    expect((await device.refresh()).body.error).toBe('invalid_grant')
    if (isPglite) return
    const events = await rows<{ reason: string; by: string }>(
      server,
      `select detail ->> 'reason' as reason, detail ->> 'by' as by from event where type = 'session.ended'
       and account_sub = (select sub from account where username = $1)`,
      [username],
    )
    expect(events).toEqual([
      { reason: 'signed_out_everywhere', by: 'person' },
      { reason: 'signed_out_everywhere', by: 'person' },
    ])
  })

  test('rejects sign-ins that were begun before it and not completed', async () => {
    const prepared = browser()
    const page = await prepared.open((await trusted.request()).url)
    const form = new URLSearchParams(page.$('form').serialize())
    form.set('username', username)
    form.set('password', PASSWORD)
    const held = await send(page.url.replace(server.issuer, server.url), {
      method: 'POST',
      body: form,
      headers: { cookie: await prepared.jar.getCookieString(page.url), origin: server.issuer },
    })
    expect(held.status).toBe(303)
    const resume = held.headers.get('location') ?? ''
    await later(2, async () => {
      await server.admin.users.signOut({ username })
      const asked = await prepared.open(resume)
      expect(asked.leftTo).toBeUndefined()
      expect(asked.$('input[name=password]')).toHaveLength(1)
      expect(await isSignedIn(cloneBrowser(prepared))).toBe(false)
      // A new sign-in works.
      expect((await openAccount(browser())).$('h1').text()).toBe('Your account')
      const back = await prepared.submit(asked, { username, password: PASSWORD })
      expect(back.leftTo?.searchParams.has('code')).toBe(true)
    })
  })

  test.skipIf(isPglite)(
    'leaves no active token during concurrent refreshes on two instances (needs Postgres)',
    async () => {
      const other = await server.startAnother()
      for (let round = 0; round < 5; round++) {
        const user = browser()
        await openAccount(user)
        const tokens = await Promise.all(
          Array.from({ length: 4 }, () => getTokens(trusted, cloneBrowser(user), 'openid offline_access')),
        )
        const [, ...answers] = await Promise.all([
          server.admin.users.signOut({ username }),
          ...tokens.map(({ refreshToken }, index) =>
            trusted.refresh(refreshToken, {}, { at: index % 2 ? other.url : server.url }),
          ),
        ])
        for (const { body, status } of answers) {
          if (status !== 200) continue
          expect(await userinfoStatus(server, String(body.access_token))).toBe(401)
          expect((await trusted.refresh(String(body.refresh_token))).body.error).toBe('invalid_grant')
        }
      }
    },
  )
})

describe('the operator', () => {
  test('lists the same sessions and grants, and revokes one or all', async () => {
    const { users } = server.admin
    const user = browser()
    const elsewhere = browser(SAFARI)
    await openAccount(user)
    await openAccount(elsewhere, { remember: 'yes' })
    const tokens = await getTokens(app, user, 'openid offline_access')
    const device = await connectDevice(user)
    const shown = await users.show({ username })
    expect(shown.sessions.map(({ user_agent }) => user_agent).sort()).toEqual([FIREFOX, SAFARI].sort())
    expect(shown.remembered_browsers).toHaveLength(1)
    expect(shown.devices.map(({ client_id }) => client_id)).toEqual([device.tv.client_id])
    expect(shown.apps.map(({ client_id }) => client_id)).toEqual([app.client.client_id])
    const of = (userAgent: string) =>
      shown.sessions.find((session) => session.user_agent === userAgent)?.session

    await users.signOut({ username, session: of(SAFARI) })
    expect(await isSignedIn(elsewhere)).toBe(false)
    expect(await isSignedIn(user)).toBe(true)
    await users.signOut({ username, device: shown.devices[0]?.grant })
    expect((await device.refresh()).body.error).toBe('invalid_grant')
    await users.signOut({ username, app: app.client.client_id })
    expect((await app.refresh(tokens.refreshToken)).body.error).toBe('invalid_grant')
    expect(await isSignedIn(user)).toBe(true)
    for (const wrong of [
      { session: of(SAFARI) },
      { session: '' },
      { browser: 'x' },
      { app: 'x' },
      { device: 'x' },
    ])
      await expect(users.signOut({ username, ...wrong })).rejects.toThrow(/has no/)
    await expect(users.signOut({ username, app: 'x', device: 'y' })).rejects.toThrow(/one item/)
    expect(await users.signOut({ username })).toMatchObject({ sessions: 1, browsers: 0 })
    expect(await isSignedIn(user)).toBe(false)
    const { sessions, devices, apps } = await users.show({ username })
    expect({ sessions, devices, apps }).toEqual({ sessions: [], devices: [], apps: [] })
  })
})

describe('a change of access', () => {
  test('requires the password when it was verified more than five minutes ago (ASVS 7.5.1)', async () => {
    const user = browser()
    const elsewhere = browser(SAFARI)
    await openAccount(user)
    await openAccount(elsewhere)
    await later(6 * 60, async () => {
      const page = await user.open('/account')
      const asked = await end(user, page, 'Safari')
      expect(asked.$('h1').text()).toBe('Confirm that it is you')
      expect(await isSignedIn(elsewhere)).toBe(true)
      const wrong = await user.submit(asked, { password: 'wrong wrong wrong' })
      expect(wrong.status).toBe(400)
      expect(wrong.$('h1').text()).toBe('Confirm that it is you')
      const before = user.cookie('sallyport_session')
      const done = await user.submit(wrong, { password: PASSWORD })
      expect(done.$('main').text()).toContain('no longer has access')
      expect(await isSignedIn(elsewhere)).toBe(false)
      // The authentication changes the privilege, so the session gets another identifier.
      expect(user.cookie('sallyport_session')).not.toBe(before)
    })
  })

  test('requires the password in a session of remember-me, however new (ASVS 7.5.1)', async () => {
    const user = browser()
    await openAccount(user, { remember: 'yes' })
    user.jar.setCookieSync('sallyport_session=; Path=/; Max-Age=0', server.issuer)
    const page = await user.open('/account')
    expect(page.$('h1').text()).toBe('Your account')
    expect((await end(user, page, 'this browser')).$('h1').text()).toBe('Confirm that it is you')
  })

  test('rejects a form of an ended session, and says so', async () => {
    const user = browser()
    const elsewhere = browser(SAFARI)
    await openAccount(elsewhere)
    const page = await openAccount(user)
    await later(31 * 60, async () => {
      const answer = await end(user, page, 'Safari')
      expect(answer.url).toContain('/account/sign-in')
      expect(answer.html).toContain('Your session has ended')
    })
    expect(await isSignedIn(elsewhere)).toBe(true)
  })
})

describe('a new password', () => {
  const NEW_PASSWORD = 'a wholly new passphrase'

  const change = async (user: EndUser, fields: Record<string, string>) =>
    await user.submit(await user.open('/account/password'), {
      password: PASSWORD,
      new_password: NEW_PASSWORD,
      ...fields,
    })

  test('keeps this browser signed in, also when a second change begins during hashing', async () => {
    const user = browser()
    await openAccount(user)
    let [password, next] = [PASSWORD, NEW_PASSWORD]
    for (const millisecondsBefore of [20, 35, 50, 65, 80, 95]) {
      const page = await user.open('/account/password')
      const secondsUntil = (2000 - (Date.now() % 1000) - millisecondsBefore) / 1000
      await later(secondsUntil, async () => {
        const changed = await user.submit(page, { password, new_password: next })
        expect(changed.$('h1').text(), `${millisecondsBefore} ms before`).toBe('Your account')
      })
      ;[password, next] = [next, password]
    }
  })

  test('is hashed at most 20 times an hour per account (CWE-400)', async () => {
    const user = browser()
    await openAccount(user)
    const statuses: number[] = []
    for (let time = 0; time < 21; time++)
      statuses.push((await change(user, { new_password: 'short' })).status)
    expect(statuses).toEqual([...Array(20).fill(400), 429])
  })

  test('revokes the other sessions, remembered browsers and devices, and keeps this session (ASVS 7.4.3)', async () => {
    const user = browser()
    const elsewhere = browser(SAFARI)
    await openAccount(elsewhere, { remember: 'yes' })
    const theirs = await getTokens(trusted, elsewhere, 'openid offline_access')
    await openAccount(user)
    const device = await connectDevice(user)
    const own = await getTokens(trusted, user, 'openid offline_access')
    const page = await change(user, {})
    expect(page.$('main').text()).toContain('Your password is changed')
    expect(await isSignedIn(user)).toBe(true)
    expect((await trusted.refresh(own.refreshToken)).status).toBe(200)
    expect(await isSignedIn(elsewhere)).toBe(false)
    expect((await trusted.refresh(theirs.refreshToken)).body.error).toBe('invalid_grant')
    expect((await device.refresh()).body.error).toBe('invalid_grant')
    const fresh = browser()
    const signIn = await fresh.open('/account')
    const refused = await fresh.submit(signIn, { username, password: PASSWORD })
    expect(refused.status).toBe(400)
    expect((await fresh.submit(refused, { username, password: NEW_PASSWORD })).$('h1').text()).toBe(
      'Your account',
    )
  })

  test.for([
    ['without the current password', { password: 'wrong wrong wrong' }, /not right/],
    ['that is too short', { new_password: 'short' }, /15/],
    ['that is empty', { new_password: '' }, /15/],
    ['that is too long', { new_password: 'x'.repeat(1100) }, /1,?024/],
  ] as const)('%s is rejected, and nothing changes', async ([, fields, words]) => {
    const user = browser()
    await openAccount(user)
    const page = await change(user, { ...fields })
    expect(page.status).toBe(400)
    expect(page.$('[role=alert], .fault').text()).toMatch(words)
    expect((await openAccount(browser())).$('h1').text()).toBe('Your account')
  })
})

describe('a person whose session ended', () => {
  test('sees a notice, signs in, and reaches the requested page', async () => {
    const { user } = await trusted.getCode({}, browser(), username)
    await later(31 * 60, async () => {
      expect((await trusted.authorizeSilently(user)).get('error')).toBe('login_required')
      const request = await trusted.request()
      const page = await user.open(request.url)
      expect(page.$('[role=status]').text()).toContain('Your session has ended')
      const { leftTo } = await user.submit(page, { username, password: PASSWORD })
      expect(leftTo?.searchParams.has('code')).toBe(true)
    })
  })

  test('sees no notice after signing out, or on a first visit', async () => {
    expect((await browser().open((await trusted.request()).url)).html).not.toContain('has ended')
    const { user } = await trusted.getCode({}, browser(), username)
    await user.submit(await user.open('/logout'), {}, 'approve')
    expect((await user.open((await trusted.request()).url)).html).not.toContain('has ended')
  })
})
