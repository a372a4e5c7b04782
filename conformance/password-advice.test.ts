import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { EndUser, type Page } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { exchange, posting } from './support/http.ts'
import { type MailServer, startMailServer } from './support/mailbox.ts'

const ADVICE = '/account/password/advice'
const NEW = { username: 'grace', email: 'grace.hopper@navy.example', name: 'Grace Hopper' }

let server: TestServer
let mail: MailServer
let user: EndUser
let page: Page

beforeAll(async () => {
  mail = await startMailServer()
  server = await startTestServer({
    TRUSTED_PROXIES: '127.0.0.1',
    SMTP_URL: mail.url,
    SELF_REGISTRATION: 'on',
    BRAND_NAME: 'Harbour Office',
  })
  await server.admin.users.create({
    username: 'ada',
    email: 'ada@mail.example',
    name: 'Ada Lovelace',
    password: PASSWORD,
  })
})
afterAll(async () => {
  await server?.remove()
  await mail?.close()
})
beforeEach(async () => {
  user = new EndUser(server.issuer)
  await user.submit(await user.open('/account'), { username: 'ada', password: PASSWORD })
  page = await user.open('/account/password')
})

/** Sends the request of the page's script. */
async function advise(password: string, { form = {}, headers = {}, path = ADVICE }: Asked = {}) {
  const csrf = String(page.$('input[name=csrf]').val())
  return await exchange(
    server.url + path,
    posting(
      { csrf, new_password: password, ...form },
      {
        headers: {
          cookie: await user.jar.getCookieString(`${server.issuer}/account`),
          origin: server.issuer,
          'sec-fetch-site': 'same-origin',
          ...headers,
        },
      },
    ),
  )
}
type Asked = { form?: Record<string, string>; headers?: Record<string, string>; path?: string }

describe('advice on a new password', () => {
  test('equals the error that the form would return, in the language of the page', async () => {
    for (const [password, words] of [
      ['short', /15/],
      ['x'.repeat(1_500), /1,024/],
      ['passwordpassword', /repeats/],
      ['adalovelace1815!', /name/],
      ['123456789012345', /Many people/],
      ['Harbour Office 2026', /name/],
    ] as const) {
      const { status, body } = await advise(password)
      expect(status).toBe(200)
      expect(body.advice).toMatch(words)
      const refused = await user.submit(page, { password: PASSWORD, new_password: password })
      expect(refused.status).toBe(400)
      expect(refused.$('#new-password-fault').text()).toBe(body.advice)
    }
    const german = await advise('passwordpassword', { headers: { 'accept-language': 'de' } })
    expect(german.body.advice).toMatch(/wiederholt/)
  })

  test('is empty when the password may be chosen', async () => {
    expect((await advise('three old boats at sea')).body).toEqual({ advice: '' })
  })

  test('is given to same-origin requests with a session alone', async () => {
    expect((await advise('short', { headers: { 'sec-fetch-site': 'cross-site' } })).status).toBe(403)
    expect((await advise('short', { headers: { origin: 'https://evil.example' } })).status).toBe(403)
    expect((await advise('short', { form: { csrf: 'forged' } })).status).toBe(403)
    expect((await advise('short', { headers: { cookie: '' } })).status).toBe(303)
    expect((await exchange(server.url + ADVICE)).status).toBeGreaterThanOrEqual(400)
  })

  test('is given at registration, based on the fields typed so far', async () => {
    user = new EndUser(server.issuer)
    page = await user.open('/account/register')
    const path = String(page.$('.secret').attr('data-advice'))
    expect((await advise('gracehopper1906!', { path, form: NEW })).body.advice).toMatch(/name/)
    expect((await advise('three old boats at sea', { path, form: NEW })).body.advice).toBe('')
    expect((await advise('short', { path, form: { csrf: 'forged' } })).status).toBe(403)
  })

  test('is given after a mailed link, based on its account', async () => {
    user = new EndUser(server.issuer)
    await user.submit(await user.open('/account/reset'), { username: 'ada' })
    const [message] = await mail.expect('ada@mail.example', 1)
    page = await user.open(message?.link ?? '')
    const path = String(page.$('.secret').attr('data-advice'))
    expect((await advise('adalovelace1815!', { path })).body.advice).toMatch(/name/)
    expect((await advise('three old boats at sea', { path })).body.advice).toBe('')
    expect((await advise('short', { path, headers: { cookie: '' } })).status).toBe(403)
  })

  test('is rate-limited, and leaves no password in the log', async () => {
    expect((await advise('x'.repeat(100_000))).status).toBe(413)
    const headers = { 'x-forwarded-for': '198.51.100.7' }
    const statuses: number[] = []
    for (let round = 0; round < 16; round++) {
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => advise('a secret that I type', { headers })),
      )
      statuses.push(...answers.map(({ status }) => status))
    }
    expect(statuses.filter((status) => status === 200)).toHaveLength(300)
    expect(statuses.filter((status) => status === 429)).toHaveLength(20)
    expect(server.logged()).toContain(ADVICE)
    expect(server.logged()).not.toContain('a secret that I type')
  })
})
