import { createHash } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createVault } from '../src/crypto/vault.ts'
import { useFullPasswordCost } from './support/argon2.ts'
import { later } from './support/clock.ts'
import { createTestClient, type TestClient } from './support/code-flow.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { rows, sql } from './support/http.ts'
import { type MailServer, startMailServer } from './support/mailbox.ts'
import { expectSameTime, pairsOf } from './support/response-time.ts'

const OTHER_PASSWORD = 'a horse of another colour'

let server: TestServer
let mail: MailServer
let app: TestClient
let email: string
let username: string
let count = 0

beforeAll(async () => {
  mail = await startMailServer()
  // Each browser has its own address, because networks have limits.
  server = await startTestServer({
    SMTP_URL: mail.url,
    SELF_REGISTRATION: 'on',
    TRUSTED_PROXIES: '127.0.0.1',
  })
  app = await createTestClient(server, { first_party: true })
})
afterAll(async () => {
  await server?.remove()
  await mail?.close()
})
beforeEach(() => {
  count++
  username = `grace${count}`
  email = `${username}@example.test`
})

function browser(): EndUser {
  const user = new EndUser(server.issuer)
  count++
  user.headers['x-forwarded-for'] = `10.${count >> 16}.${(count >> 8) & 255}.${count & 255}`
  return user
}

async function register(user: EndUser, fields: Record<string, string> = {}, at = '/account/register') {
  const page = await user.open(at)
  return await user.submit(page, { email, username, name: 'Grace', new_password: PASSWORD, ...fields })
}

async function linkTo(address: string, number = 1): Promise<string> {
  const link = (await mail.expect(address, number))[number - 1]?.link
  if (link === undefined) throw new Error('the mail has no link')
  return link
}

async function signIn(login: string, password: string): Promise<Page> {
  const user = browser()
  return await user.submit(await user.open('/account/sign-in'), { username: login, password })
}

const heading = ({ $ }: Page) => $('h1').text()
const isSignedIn = ({ url }: Page) => url.endsWith('/account')
const find = async (name: string) =>
  (await server.admin.users.list()).find((person) => person.username === name)

describe('a person who registers', () => {
  test('verifies their address, and returns to the app', async () => {
    const user = browser()
    const login = await user.open((await app.request({ scope: 'openid email profile' })).url)
    const asked = await register(user, {}, login.$('a[href*="/account/register"]').attr('href'))
    expect(heading(asked)).toBe('Check your e-mail')
    // Before that, no account exists.
    expect(await find(username)).toBeUndefined()
    expect(isSignedIn(await signIn(email, PASSWORD))).toBe(false)

    const page = await user.open(await linkTo(email))
    expect(page.url).toBe(`${server.issuer}/account/register/confirm`)
    expect(await find(username)).toBeUndefined()
    expect(page.$('input[name=new_password]')).toHaveLength(0)
    const done = await user.submit(page)
    expect(heading(done)).toBe('Your account is ready')
    expect(await find(username)).toMatchObject({ email, email_verified: true, profile: { name: 'Grace' } })
    const back = await user.open(done.$('a.go').attr('href') ?? '')
    expect(back.url).toBe(login.url)
    const arrived = await user.submit(back, { username, password: PASSWORD })
    expect(arrived.leftTo?.searchParams.get('code')).toBeTruthy()
  })

  test('chooses the password again when the link is opened in another browser', async () => {
    await register(browser())
    const victim = browser()
    const page = await victim.open(await linkTo(email))
    expect(page.$('input[name=new_password]')).toHaveLength(1)
    expect((await victim.submit(page)).status).toBe(400)
    const done = await victim.submit(page, { new_password: OTHER_PASSWORD })
    expect(heading(done)).toBe('Your account is ready')
    expect(done.$('a.go').attr('href')).toBe('/account/sign-in')
    expect(isSignedIn(await signIn(username, PASSWORD))).toBe(false)
    expect(isSignedIn(await signIn(username, OTHER_PASSWORD))).toBe(true)
  })

  test('learns that a username is taken only after verifying the address, and chooses another', async () => {
    await server.admin.users.create({ username, password: PASSWORD })
    const user = browser()
    const asked = await register(user, { email: `me-${email}`, username: username.toUpperCase() })
    expect(heading(asked)).toBe('Check your e-mail')
    const page = await user.open(await linkTo(`me-${email}`))
    const refused = await user.submit(page)
    expect(refused.status).toBe(400)
    expect(refused.$('#username-fault').text()).toContain('taken')
    const done = await user.submit(refused, { username: `${username}.two` })
    expect(heading(done)).toBe('Your account is ready')
    expect(isSignedIn(await signIn(`${username}.two`, PASSWORD))).toBe(true)
  })

  test('gets the mail also after several rejected passwords', async () => {
    const user = browser()
    for (const password of ['short', 'passwordpassword', `${username} ${username}`])
      expect((await register(user, { new_password: password })).status).toBe(400)
    expect((await register(user)).status).toBe(200)
    await linkTo(email)
  })

  test('with the address of an existing account does not use up its reset mails (CWE-770)', async () => {
    await server.admin.users.create({ username, email, password: PASSWORD })
    for (let times = 0; times < 3; times++) await register(browser(), { username: `not-${username}` })
    const user = browser()
    await user.submit(await user.open('/account/reset'), { username: email })
    const mails = await mail.expect(email, 4)
    expect(mails.some(({ subject }) => /new password/i.test(subject))).toBe(true)
  })

  test('is rejected with a taken username before the password is checked or hashed (CWE-400)', async () => {
    await server.admin.users.create({ username, password: PASSWORD })
    await register(browser(), { username: `${username}x` })
    const victim = browser()
    const page = await victim.open(await linkTo(email))
    const refused = await victim.submit(page, { username: username.toUpperCase(), new_password: 'short' })
    expect(refused.status).toBe(400)
    expect(refused.$('#username-fault').text()).toContain('taken')
    expect(refused.$('#new-password').attr('aria-invalid')).toBeUndefined()
  })

  test('has 20 attempts an hour per link, over all networks (CWE-400)', async () => {
    await register(browser())
    const victim = browser()
    const page = await victim.open(await linkTo(email))
    const answers: Page[] = []
    for (let time = 0; time < 22; time++) {
      victim.headers['x-forwarded-for'] = `198.51.100.${time}`
      answers.push(await victim.submit(page, { new_password: 'short' }))
    }
    expect(answers.map(({ status }) => status)).toEqual([...Array(20).fill(400), 429, 429])
    expect(Number(answers.at(-1)?.headers.get('retry-after'))).toBeGreaterThan(60)
    expect(answers.at(-1)?.$('[role=alert]').text()).toContain('Too many attempts')
    expect((await victim.submit(page, { new_password: OTHER_PASSWORD })).status).toBe(429)
  })

  test.skipIf(isPglite)('has 60 passwords hashed in ten minutes from one network (CWE-400)', async () => {
    const user = browser()
    user.headers['x-forwarded-for'] = '2001:db8:50:1::1'
    expect((await register(user, { new_password: 'short' })).status).toBe(400)
    await sql(server, `update attempt set count = most - 1 where most in (60, 240)`)
    user.headers['x-forwarded-for'] = '2001:db8:50:2::1'
    expect((await register(user, { new_password: 'short' })).status).toBe(400)
    const refused = await register(user, { new_password: 'short' })
    expect(refused.status).toBe(429)
    expect(refused.$('[role=alert]').text()).toContain('Too many')
    user.headers['x-forwarded-for'] = '2001:db8:50:100::1'
    expect((await register(user)).status).toBe(200)
  })

  test.skipIf(isPglite)('opens a link of the previous version, which opens those of this one', async () => {
    const user = browser()
    await register(user)
    const link = await linkTo(email)
    const hash = createHash('sha256')
      .update(link.split('/').at(-1) ?? '')
      .digest()
    const [row] = await rows<{ sealed: Buffer }>(
      server,
      'select sealed_request as sealed from mail_link where secret_hash = $1',
      [hash],
    )
    const vault = createVault([Buffer.from(server.env.ENCRYPTION_KEY ?? '', 'base64')])
    const stored = JSON.parse(vault.open(row?.sealed ?? Buffer.alloc(0), 'registration', [hash, '']))
    expect(stored).toMatchObject({ email, username, asker: { browserHash: expect.any(String) } })
    const done = await user.submit(await user.open(link))
    expect(done.status).toBe(200)
    expect(await find(username)).toBeDefined()
  })

  test('twice at once creates one account', async () => {
    const user = browser()
    await register(user)
    const page = await user.open(await linkTo(email))
    const pages = await Promise.all(
      Array.from({ length: 8 }, (_, index) => user.submit(page, { username: `${username}-${index}` })),
    )
    expect(pages.filter((one) => heading(one) === 'Your account is ready')).toHaveLength(1)
    const people = (await server.admin.users.list()).filter((person) => person.email === email)
    expect(people).toHaveLength(1)
  })

  test('finds the link invalid when an operator created the account meanwhile', async () => {
    const user = browser()
    await register(user)
    const page = await user.open(await linkTo(email))
    await server.admin.users.create({ username: `${username}-first`, email, password: PASSWORD })
    expect(heading(await user.submit(page))).toBe('This link no longer works')
    expect(await find(username)).toBeUndefined()
  })

  test('finds an expired, replaced or used link invalid', async () => {
    const user = browser()
    await register(user)
    const first = await linkTo(email)
    await register(user)
    const second = await linkTo(email, 2)
    expect((await user.open(first)).status).toBe(400)
    expect((await later(24 * 3600 + 60, () => browser().open(second))).status).toBe(400)
    await user.submit(await user.open(second))
    expect((await user.open(second)).status).toBe(400)
  })
})

describe('registration does not reveal accounts (CWE-204)', () => {
  useFullPasswordCost()

  const strip = ({ headers, html, status, url }: Page) => ({
    status,
    url,
    html: html.replace(/nonce="[^"]*"/g, ''),
    headers: [...headers]
      .map(([name, value]) => [name, value.replace(/nonce-[\w-]+/, '')])
      .filter(([name = '']) => !['date', 'x-request-id', 'keep-alive'].includes(name)),
  })

  test('by the answer; the owner of the address gets a mail', async () => {
    await server.admin.users.create({ username, email, password: PASSWORD })
    const known = await register(browser(), { username: `${username}x` })
    const unknown = await register(browser(), { email: `new-${email}`, username: `${username}y` })
    expect(strip(known)).toEqual(strip(unknown))
    const [told] = await mail.expect(email)
    expect(told?.subject).toBe('You have an account already')
    expect(told?.text).toContain(username)
    expect(told?.text).not.toContain('/account/link/')
    await mail.expect(`new-${email}`)
    // The mail to the owner of the address contains no text from the request.
    const sent = mail.all().filter(({ to }) => to === `new-${email}`)
    expect(sent[0]?.raw).not.toContain('Grace')
  })

  const pairs = pairsOf({ usual: 40, full: 200 })
  // Compares the work of this process, which does not depend on the database.
  test.skipIf(isPglite)(
    `by response time, over ${pairs * 2} samples`,
    async () => {
      const [known, unknown]: [number[], number[]] = [[], []]
      for (let sample = 0; sample < pairs; sample++) {
        if (sample % 2 === 0)
          await server.admin.users.create({
            username: `k${sample}-${username}`,
            email: `k${sample}-${email}`,
            password: PASSWORD,
          })
        const pair = [
          [known, `k${sample - (sample % 2)}-${email}`],
          [unknown, `u${sample - (sample % 2)}-${email}`],
        ] as const
        for (const [times, address] of sample % 4 < 2 ? pair : pair.toReversed()) {
          const user = browser()
          const page = await user.open('/account/register')
          const fields = { email: address, username: `z${sample}-${username}`, new_password: PASSWORD }
          const startedAt = performance.now()
          await user.submit(page, fields)
          times.push(performance.now() - startedAt)
        }
      }
      expectSameTime(known, unknown, 5)
    },
    180_000,
  )
})

describe('an input of the registration form', () => {
  test.for([
    ['email', 'no address'],
    ['email', 'a@b'],
    ['email', 'ada@example.test\r\nBcc: all@example.test'],
    ['email', 'ada@example.test, eve@example.test'],
    ['email', 'ada@exämple.test'],
    ['email', `${'x'.repeat(250)}@example.test`],
    ['username', 'а-with-cyrillic'],
    ['username', 'x'],
    ['username', 'ada@example.test'],
    ['username', '.hidden'],
    ['username', 'x'.repeat(65)],
    ['username', 'line\nbreak'],
    ['name', 'x'.repeat(201)],
    ['name', 'line\nbreak'],
    ['name', '\u202Eturned'],
    ['new_password', 'short'],
    ['new_password', 'passwordpassword'],
    ['new_password', ''],
  ])('is rejected beside its field: %s %j', async ([field = '', value = '']) => {
    const page = await register(browser(), { [field]: value })
    expect(page.status).toBe(400)
    const id = field === 'new_password' ? 'new-password' : field
    expect(page.$(`#${id}`).attr('aria-invalid')).toBe('true')
    expect(page.$(`#${id}-fault`).text()).not.toBe('')
    // The page shows the entries again, except the password.
    expect(page.html).not.toContain(PASSWORD)
  })

  test('never adds an address to a mail header (CWE-93)', async () => {
    const user = browser()
    await register(user, { name: '"><script>alert(1)</script>' })
    const page = await user.open(await linkTo(email))
    expect(page.html).not.toContain('<script>alert')
    const [sent] = await mail.expect(email)
    expect(sent?.headers.get('to')).toBe(email)
  })

  test('requires the form of this browser (CWE-352)', async () => {
    const page = await browser().open('/account/register')
    const fields = { email, username, new_password: PASSWORD }
    expect((await browser().submit(page, fields)).status).toBe(403)
  })

  test('redirects only to the server’s own pages (CWE-601)', async () => {
    const user = browser()
    for (const interaction of ['//evil.example', 'https://evil.example/aaaaaaaaaaaaaaaaaaaa', '../../logout'])
      expect(
        (await user.open(`/account/register/done?interaction=${encodeURIComponent(interaction)}`))
          .$('a.go')
          .attr('href'),
      ).toBe('/account/sign-in')
  })
})
