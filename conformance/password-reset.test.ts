import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { useFullPasswordCost } from './support/argon2.ts'
import { later } from './support/clock.ts'
import { createTestClient, type TestClient, userinfoStatus } from './support/code-flow.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { rows, sql } from './support/http.ts'
import { type MailServer, startMailServer } from './support/mailbox.ts'
import { expectSameTime, pairsOf } from './support/response-time.ts'

const NEW_PASSWORD = 'an entirely different horse'

let server: TestServer
let mail: MailServer
let app: TestClient
let username: string
let email: string
let count = 0

beforeAll(async () => {
  mail = await startMailServer()
  // Each request has its own address, because networks have limits.
  server = await startTestServer({ SMTP_URL: mail.url, TRUSTED_PROXIES: '127.0.0.1' })
  app = await createTestClient(server, { first_party: true })
})
afterAll(async () => {
  await server?.remove()
  await mail?.close()
})
beforeEach(async () => {
  count++
  username = `grace${count}`
  email = `${username}@example.test`
  await server.admin.users.create({ username, email, password: PASSWORD })
})

function browser(headers: Record<string, string> = {}): EndUser {
  const user = new EndUser(server.issuer)
  count++
  Object.assign(
    user.headers,
    { 'x-forwarded-for': `10.${count >> 16}.${(count >> 8) & 255}.${count & 255}` },
    headers,
  )
  return user
}

async function ask(login: string, user = browser()): Promise<Page> {
  return await user.submit(await user.open('/account/reset'), { username: login })
}

async function askForLink(user = browser()): Promise<string> {
  const before = mail.all().filter(({ to }) => to === email).length
  await ask(username, user)
  const link = (await mail.expect(email, before + 1)).at(-1)?.link
  if (link === undefined) throw new Error('the mail has no link')
  return link
}

async function setPassword(link: string, user = browser(), password = NEW_PASSWORD): Promise<Page> {
  return await user.submit(await user.open(link), { new_password: password })
}

async function canSignIn(password: string): Promise<boolean> {
  const user = browser()
  const page = await user.submit(await user.open('/account/sign-in'), { username, password })
  return page.url.endsWith('/account')
}

const heading = ({ $ }: Page) => $('h1').text()

describe('a person who forgot their password', () => {
  test('resets it by a link from the sign-in page, and returns to the interrupted request (NIST SP 800-63B-4 §4.2)', async () => {
    const user = browser()
    const login = await user.open((await app.request()).url)
    const href = login.$('a[href*="/account/reset"]').attr('href') ?? ''
    await ask(username, user).then(({ status }) => expect(status).toBe(200))
    const asked = await user.submit(await user.open(href), { username })
    expect(heading(asked)).toBe('Check your e-mail')
    const [, second] = await mail.expect(email, 2)
    const page = await user.open(second?.link ?? '')
    // The secret is not kept in the URL.
    expect(page.url).toBe(`${server.issuer}/account/reset/password`)
    expect(page.headers.get('referrer-policy')).toBe('no-referrer')
    const done = await user.submit(page, { new_password: NEW_PASSWORD })
    expect(heading(done)).toBe('Your new password is set')
    // It starts no session.
    expect((await user.open('/account')).url).toMatch(/sign-in$/)
    const back = await user.open(done.$('a.go').attr('href') ?? '')
    expect(back.url).toBe(login.url)
    const arrived = await user.submit(back, { username, password: NEW_PASSWORD })
    expect(arrived.leftTo?.searchParams.get('code')).toBeTruthy()
    expect(await canSignIn(PASSWORD)).toBe(false)
  })

  test('gets a notice; sessions, remembered browsers and tokens are revoked', async () => {
    const elsewhere = browser()
    const tokens = await app.getTokens(
      { scope: 'openid offline_access', prompt: 'consent' },
      elsewhere,
      username,
    )
    const remembered = browser()
    await remembered.submit(await remembered.open('/account/sign-in'), {
      username,
      password: PASSWORD,
      remember: 'yes',
    })
    expect(await userinfoStatus(server, tokens.accessToken)).toBe(200)
    await setPassword(await askForLink())
    expect(await userinfoStatus(server, tokens.accessToken)).toBe(401)
    expect((await app.refresh(tokens.refreshToken)).status).toBe(400)
    for (const user of [elsewhere, remembered]) expect((await user.open('/account')).url).toMatch(/sign-in$/)
    const told = await mail.expect(email, 2)
    expect(told.map(({ subject }) => subject)).toEqual(['Set a new password', 'Your password was changed'])
    expect(told[1]?.link).toBeUndefined()
  })

  test('gets pages and mail in their language', async () => {
    const user = browser({ 'accept-language': 'de-CH, de;q=0.9' })
    expect(heading(await ask(username, user))).toBe('Sehen Sie in Ihrem Posteingang nach')
    const [first] = await mail.expect(email)
    expect(first?.subject).toBe('Neues Passwort festlegen')
    expect(first?.html).toContain('<html lang="de"')
  })

  test('has the new password checked by the same rules; the link stays valid', async () => {
    const user = browser()
    const link = await askForLink(user)
    for (const weak of ['short', `${username} ${username} 1`, 'passwordpassword']) {
      const page = await setPassword(link, user, weak)
      expect(page.status, weak).toBe(400)
      expect(page.$('#new-password').attr('aria-invalid')).toBe('true')
    }
    expect(heading(await setPassword(link, user))).toBe('Your new password is set')
  })

  test('has 20 attempts an hour per link, over all networks (CWE-400)', async () => {
    const user = browser()
    const page = await user.open(await askForLink(user))
    const statuses: number[] = []
    for (let time = 0; time < 21; time++) {
      user.headers['x-forwarded-for'] = `198.51.100.${time}`
      statuses.push((await user.submit(page, { new_password: 'short' })).status)
    }
    expect(statuses).toEqual([...Array(20).fill(400), 429])
    const refused = await user.submit(page, { new_password: NEW_PASSWORD })
    expect(refused.status).toBe(429)
    expect(refused.$('[role=alert]').text()).toContain('Too many attempts')
    expect(await canSignIn(PASSWORD)).toBe(true)
  })

  test.skipIf(isPglite)(
    'signs in after the reset although attackers used up the attempts for the name (SQL counts the attempts)',
    async () => {
      const user = browser()
      const link = await askForLink(user)
      await canSignIn('a wrong one, this is')
      const lock = () =>
        sql(
          server,
          `update attempt set count = most, next_at = now() where expires_at > now() + interval '2 hours'`,
        )
      await lock()
      expect(await canSignIn(PASSWORD)).toBe(false)
      await setPassword(link, user)
      expect(await canSignIn(NEW_PASSWORD)).toBe(true)
      // Later attempts are allowed too, because the browser has a device cookie by now.
      await canSignIn('a wrong one, this is')
      await lock()
      expect(await canSignIn(NEW_PASSWORD)).toBe(false)
      const page = await user.submit(await user.open('/account/sign-in'), {
        username,
        password: NEW_PASSWORD,
      })
      expect(page.url).toMatch(/\/account$/)
    },
  )
})

describe('a link', () => {
  test('opened by a scanner changes nothing', async () => {
    const link = await askForLink()
    for (const method of ['GET', 'HEAD']) await fetch(server.issuer + link, { method, redirect: 'manual' })
    expect(await canSignIn(PASSWORD)).toBe(true)
    expect(heading(await setPassword(link))).toBe('Your new password is set')
  })

  test('used at once in ten browsers sets one password (CWE-362)', async () => {
    const link = await askForLink()
    const opened = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const user = browser()
        return { user, page: await user.open(link) }
      }),
    )
    const pages = await Promise.all(
      opened.map(({ user, page }, index) =>
        user.submit(page, { new_password: `${NEW_PASSWORD} number ${index}` }),
      ),
    )
    const winners = pages.flatMap((page, index) =>
      heading(page) === 'Your new password is set' ? [index] : [],
    )
    expect(winners).toHaveLength(1)
    expect(new Set(pages.map(({ status }) => status))).toEqual(new Set([200, 400]))
    expect(await canSignIn(`${NEW_PASSWORD} number ${winners[0]}`)).toBe(true)
  })

  test('that was used, replaced, expired or forged is rejected', async () => {
    const first = await askForLink()
    const second = await askForLink()
    const over = async (link: string) => {
      const page = await browser().open(link)
      expect(page.status).toBe(400)
      expect(heading(page)).toBe('This link no longer works')
    }
    await over(first)
    await later(31 * 60, () => over(second))
    await setPassword(second)
    await over(second)
    await over(`/account/link/${'x'.repeat(43)}`)
    await over('/account/link/x')
  })

  test('is invalidated by disabling the account, and by another password change', async () => {
    const disabled = await askForLink()
    await server.admin.users.disable({ username })
    expect((await browser().open(disabled)).status).toBe(400)
    await server.admin.users.enable({ username })
    await server.admin.users.setPassword({ username, password: `${PASSWORD} again` })
    const changed = await askForLink()
    await server.admin.users.setPassword({ username, password: `${PASSWORD} once more` })
    expect((await browser().open(changed)).status).toBe(400)
    const user = browser()
    const deleted = await user.open(await askForLink())
    await server.admin.users.delete({ username })
    expect((await user.submit(deleted, { new_password: NEW_PASSWORD })).status).toBe(400)
  })

  test('requires the form of the browser that opened it (CWE-352)', async () => {
    const link = await askForLink()
    const [one, other] = [browser(), browser()]
    const page = await one.open(link)
    await other.open(await askForLink())
    const forged = await other.submit(page, { new_password: NEW_PASSWORD })
    expect(forged.status).toBe(403)
    const bare = await browser().submit(page, { new_password: NEW_PASSWORD })
    expect(bare.status).toBe(403)
    expect(await canSignIn(PASSWORD)).toBe(true)
  })

  test('points to the issuer, whatever the Host header says (CWE-644)', async () => {
    const user = browser({ 'x-forwarded-host': 'evil.example', forwarded: 'host=evil.example' })
    await ask(username, user)
    const [first] = await mail.expect(email)
    expect(first?.raw).not.toContain('evil.example')
    expect(first?.text).toContain(`${server.issuer}/account/link/`)
    expect(first?.headers.get('auto-submitted')).toBe('auto-generated')
    expect(first?.html).not.toMatch(/<img|<script|style=|src=/)
  })

  test('does not appear in the log', async () => {
    const link = await askForLink()
    const secret = link.split('/').at(-1) ?? 'none'
    await setPassword(link)
    expect(server.logged()).toContain('/account/link/…')
    expect(server.logged()).not.toContain(secret)
    expect(server.logged()).not.toContain(email)
  })
})

describe('a reset does not reveal accounts (CWE-204)', () => {
  useFullPasswordCost()

  const strip = ({ headers, html, status, url }: Page) => ({
    status,
    url,
    html: html.replace(/nonce="[^"]*"/g, ''),
    headers: [...headers]
      .map(([name, value]) => [name, value.replace(/nonce-[\w-]+/, '')])
      .filter(([name = '']) => !['date', 'x-request-id', 'set-cookie', 'keep-alive'].includes(name)),
  })

  test('by the answer: known, unknown, disabled, without an address, rate-limited', async () => {
    const disabled = `off-${username}`
    await server.admin.users.create({
      username: disabled,
      email: `${disabled}@example.test`,
      password: PASSWORD,
    })
    await server.admin.users.disable({ username: disabled })
    await server.admin.users.create({ username: `bare-${username}`, password: PASSWORD })
    const logins = [
      username,
      email.toUpperCase(),
      'nobody',
      'nobody@example.test',
      disabled,
      `bare-${username}`,
    ]
    const answers = []
    for (const login of logins) answers.push(strip(await ask(login)))
    for (let times = 0; times < 4; times++) answers.push(strip(await ask(username)))
    for (const answer of answers) expect(answer).toEqual(answers[0])
    // By name and by address together.
    await mail.expect(email, 3)
    expect(mail.all().filter(({ to }) => to.startsWith('off-'))).toEqual([])
    expect(mail.all().filter(({ to }) => to === email)).toHaveLength(3)
  })

  test('by the attempts of a network, within the limits or beyond', async () => {
    const countAnswers = async (network: string, login: string, other: string) => {
      const user = browser({ 'x-forwarded-for': network })
      const statuses = []
      for (let times = 0; times < 4; times++) statuses.push((await ask(login, user)).status)
      for (let times = 0; times < 20; times++) statuses.push((await ask(other, user)).status)
      return statuses
    }
    const expected = [...Array(20).fill(200), ...Array(4).fill(429)]
    // A username and its address belong to one person, with three mails in total.
    expect(await countAnswers('203.0.113.20', username, email)).toEqual(expected)
    expect(await countAnswers('203.0.113.21', `nobody-${username}`, `nobody-${email}`)).toEqual(expected)
  })

  const pairs = pairsOf({ usual: 80, full: 200 })
  // Compares the work of this process, which does not depend on the database.
  test.skipIf(isPglite)(
    `by response time, over ${pairs * 2} samples, also when a limit drops mail to unknown browsers`,
    async () => {
      const [known, unknown]: [number[], number[]] = [[], []]
      for (let sample = 0; sample < pairs; sample++) {
        if (sample === pairs / 2) await sql(server, `update attempt set count = most where most = 1000`)
        const [someone, noone] = [`known${sample}-${username}`, `unknown${sample}-${username}`]
        if (sample % 2 === 0)
          await server.admin.users.create({
            username: someone,
            email: `${someone}@example.test`,
            password: PASSWORD,
          })
        const pair = [
          [known, sample % 2 === 0 ? someone : `known${sample - 1}-${username}`],
          [unknown, sample % 2 === 0 ? noone : `unknown${sample - 1}-${username}`],
        ] as const
        for (const [times, login] of sample % 4 < 2 ? pair : pair.toReversed()) {
          const user = browser()
          const page = await user.open('/account/reset')
          const startedAt = performance.now()
          await user.submit(page, { username: login })
          times.push(performance.now() - startedAt)
        }
      }
      await sql(server, `delete from attempt where most = 1000`)
      expectSameTime(known.slice(0, pairs / 2), unknown.slice(0, pairs / 2), 5)
      expectSameTime(known.slice(pairs / 2), unknown.slice(pairs / 2), 5)
    },
    180_000,
  )
})

describe('rate limits of reset mail', () => {
  test('return 429 for a network, and stay silent for an address', async () => {
    const user = browser({ 'x-forwarded-for': '203.0.113.7' })
    const statuses = []
    for (let times = 0; times < 22; times++) statuses.push((await ask(`someone${times}`, user)).status)
    expect(statuses).toEqual([...Array(20).fill(200), 429, 429])
    const refused = await ask('someone', user)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  })

  test.skipIf(isPglite)('for all requests together never drop mail to an account (CWE-770)', async () => {
    await ask(`nobody-first-${username}`)
    const countDropped = async () =>
      (await rows(server, `select from event where detail ->> 'dropped' = 'true'`)).length
    const countReached = async () => {
      const limit = `detail ->> 'limit' = 'mail.everybody'`
      return (await rows(server, `select from event where type = 'mail.throttled' and ${limit}`)).length
    }
    const [before, reached] = [await countDropped(), await countReached()]
    await sql(server, `update attempt set count = most where most = 1000`)
    const [known, unknown] = [await ask(username), await ask(`nobody-${username}`)]
    expect([known.status, unknown.status]).toEqual([200, 200])
    await mail.expect(email)
    await ask(`nobody-again-${username}`)
    expect((await countReached()) - reached).toBe(1)
    const metrics = await (await fetch(`${server.managementUrl}/metrics`)).text()
    expect(metrics).toMatch(/^sallyport_shared_limits_reached_total\{limit="mail.everybody"\} [1-9]/m)
    expect((await countDropped()) - before).toBe(2)
    // Unknown names also still count against the network.
    const user = browser({ 'x-forwarded-for': '203.0.113.22' })
    const statuses = []
    for (let times = 0; times < 21; times++)
      statuses.push((await ask(`nobody-${times}-${username}`, user)).status)
    expect(statuses).toEqual([...Array(20).fill(200), 429])
    await sql(server, `delete from attempt where most = 1000`)
  })

  test.skipIf(isPglite)(
    'for accounts and addresses do not apply to a browser with a device cookie',
    async () => {
      const own = browser()
      await own.submit(await own.open('/account/sign-in'), { username, password: PASSWORD })
      await ask(username)
      const mailed = () => mail.all().filter(({ to }) => to === email).length
      await mail.expect(email)
      // Simulates an attacker with a list of people and three requests for this one.
      await sql(server, `update attempt set count = most where most in (3, 500)`)
      await ask(username)
      await ask(email)
      await ask(username, own)
      await mail.expect(email, 2)
      expect(mailed()).toBe(2)
      await sql(server, `delete from attempt where most in (3, 500)`)
    },
  )

  test.skipIf(isPglite)('allow a /56 four times and a /48 sixteen times as many', async () => {
    for (const [most, site] of [
      [80, '2001:db8:60:12'],
      [320, '2001:db8:61:'],
    ] as const) {
      const at = (index: number) => browser({ 'x-forwarded-for': `${site}${index}0::1` })
      expect((await ask('someone', at(1))).status).toBe(200)
      await sql(server, `update attempt set count = ${most - 1} where most = ${most}`)
      expect((await ask('someone', at(2))).status).toBe(200)
      expect((await ask('someone', at(3))).status).toBe(429)
    }
  })

  test.for(['', ' ', 'x'.repeat(257)])('reject a malformed name: "%s"', async (login) => {
    expect((await ask(login)).status).toBe(400)
  })
})

describe('the reset, when disabled,', () => {
  test('has no link and no page', async () => {
    const off = await startTestServer({ PASSWORD_RESET: 'off', EMAIL_CHANGE: 'off', SMTP_URL: mail.url })
    const user = new EndUser(off.issuer)
    expect((await user.open('/account/sign-in')).html).not.toContain('/account/reset')
    for (const path of ['/account/reset', '/account/reset/password', '/account/register', '/account/email'])
      expect((await user.open(path)).status, path).toBe(404)
    await off.remove()
  })
})
