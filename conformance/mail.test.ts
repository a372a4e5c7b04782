import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { startChildServer } from './support/child-server.ts'
import { EndUser } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { rows, sql } from './support/http.ts'
import { type MailServer, readOutbox, startMailServer } from './support/mailbox.ts'

/** The first retry pause, the polling interval, and a reserve for a busy machine. */
const RETRY_SECONDS = 35

let server: TestServer
let mail: MailServer
let count = 0

beforeAll(async () => {
  mail = await startMailServer()
  server = await startTestServer({ SMTP_URL: mail.url, TRUSTED_PROXIES: '127.0.0.1' })
})
afterAll(async () => {
  await server?.remove()
  await mail?.close()
})

async function createPerson(at = server): Promise<string> {
  const username = `mary${++count}`
  await at.admin.users.create({ username, email: `${username}@example.test`, password: PASSWORD })
  return username
}

async function requestReset(username: string, { issuer, url } = server): Promise<void> {
  const user = new EndUser(issuer, url)
  user.headers['x-forwarded-for'] = `10.1.${(++count >> 8) & 255}.${count & 255}`
  const page = await user.submit(await user.open('/account/reset'), { username })
  expect(page.status).toBe(200)
}

const addressOf = (username: string) => `${username}@example.test`
const mailsTo = (username: string) => mail.all().filter(({ to }) => to === addressOf(username))

/** Makes the next attempt due. On the embedded database, the test waits for it instead. */
async function letPausePass(at = server): Promise<void> {
  if (isPglite) return
  await pause(5_100)
  await sql(at, `update mail set next_attempt_at = now()`)
  await sql(at, `select pg_notify('sallyport_change', 'mail')`)
}

/** Returns a function that waits for a new log line. */
function newInLog(): (words: RegExp, seconds?: number) => Promise<void> {
  const before = server.logged().length
  return (words, seconds = 8) =>
    vi.waitFor(() => expect(server.logged().slice(before)).toMatch(words), {
      timeout: seconds * 1000,
      interval: 50,
    })
}

describe('a mail', () => {
  test('has text and HTML, and loads no remote content', async () => {
    const username = await createPerson()
    await requestReset(username)
    const [sent] = await mail.expect(addressOf(username))
    expect(sent?.headers.get('content-type')).toMatch(/^multipart\/alternative/)
    expect(sent?.headers.get('message-id')).toMatch(/^<[0-9a-f-]{36}@localhost>$/)
    expect(sent?.headers.get('from')).toBe('Sallyport <no-reply@localhost>')
    expect(sent?.text).toContain(`${server.issuer}${sent?.link}`)
    expect(sent?.html).toContain(`href="${server.issuer}${sent?.link}"`)
    expect(sent?.html).not.toMatch(/src=|url\(|<script|@import/)
    expect(sent?.html.match(/https?:\/\/[^"< )]+/g)?.every((url) => url.startsWith(server.issuer))).toBe(true)
  })

  test('waits while the mail server is down, and arrives when it is back', async () => {
    const username = await createPerson()
    await mail.close()
    const logged = newInLog()
    await requestReset(username)
    await logged(/"mail.failed".*(ECONNREFUSED|ESOCKET)/)
    await mail.open()
    await letPausePass()
    expect(await mail.expect(addressOf(username), 1, RETRY_SECONDS)).toHaveLength(1)
  })

  // On the embedded database a test would wait for the real pause: once is enough.
  test.skipIf(isPglite)(
    'is sent again with the same Message-ID when the server did not confirm it',
    async () => {
      const username = await createPerson()
      mail.hang(true)
      const logged = newInLog()
      await requestReset(username)
      const [first] = await mail.expect(addressOf(username))
      await logged(/"mail.failed".*(ETIMEDOUT|took too long)/, 20)
      mail.hang(false)
      await letPausePass()
      const [, second] = await mail.expect(addressOf(username), 2, RETRY_SECONDS + 20)
      expect(second?.headers.get('message-id')).toBe(first?.headers.get('message-id'))
      expect(second?.link).toBe(first?.link)
    },
    90_000,
  )

  test('to an address that does not exist is not retried', async () => {
    const username = await createPerson()
    mail.refuse('550 5.1.1 no such user here: secret-of-the-server')
    const logged = newInLog()
    await requestReset(username)
    await logged(/"mail.failed".*"isFinal":true/)
    mail.refuse(undefined)
    // The server's text may repeat the address.
    expect(server.logged()).not.toContain('secret-of-the-server')
    if (!isPglite)
      await vi.waitFor(async () => expect(await rows(server, `select from mail`)).toEqual([]), 5_000)
    expect(mailsTo(username)).toEqual([])
  })

  test.skipIf(isPglite)('is given up when its link has expired', async () => {
    const username = await createPerson()
    await mail.close()
    await requestReset(username)
    await sql(server, `update mail set expires_at = now() - interval '1 second'`)
    await vi.waitFor(async () => expect(await rows(server, `select from mail`)).toEqual([]), {
      timeout: 25_000,
      interval: 200,
    })
    await mail.open()
    const given = await rows(server, `select from event where type = 'mail.given_up'`)
    expect(given).toHaveLength(1)
  })

  test('is counted (metrics)', async () => {
    const text = await (await fetch(`${server.managementUrl}/metrics`)).text()
    expect(text).toMatch(/^sallyport_mails_total\{outcome="sent"\} [1-9]/m)
    expect(text).toMatch(/^sallyport_mails_total\{outcome="failed"\} [1-9]/m)
    expect(text).toMatch(/^sallyport_mails_total\{outcome="refused"\} 1/m)
    expect(text).toMatch(/^sallyport_mails_pending \d+/m)
  })
})

test('sends nothing to another machine without TLS', async () => {
  // An address of this machine that does not count as localhost.
  const remote = await startTestServer({ SMTP_URL: mail.url.replace('localhost', '0.0.0.0') })
  const username = await createPerson(remote)
  await requestReset(username, remote)
  await vi.waitFor(() => expect(remote.logged()).toMatch(/"mail.failed".*(ETLS|ESOCKET)/), 10_000)
  expect(mailsTo(username)).toEqual([])
  await remote.remove()
})

describe.skipIf(isPglite)('the database', () => {
  test('contains no secret of a mailed link and no typed address', async () => {
    const username = await createPerson()
    await mail.close()
    await requestReset(username)
    await requestReset('Typed.Address@example.test')
    const waiting = await server.dump()
    await mail.open()
    await letPausePass()
    const link = (await mail.expect(addressOf(username), 1, RETRY_SECONDS)).at(-1)?.link ?? ''
    const secret = link.split('/').at(-1) ?? ''
    expect(secret).toMatch(/^[\w-]{43}$/)
    const bytes = Buffer.from(secret, 'base64url')
    for (const text of [waiting, await server.dump()])
      for (const form of [secret, Buffer.from(secret).toString('hex'), bytes.toString('hex')])
        expect(text).not.toContain(form)
    expect(waiting.toLowerCase()).not.toContain('typed.address')
  })

  test('lets several instances send each mail once', async () => {
    const others = [await server.startAnother(), await server.startAnother()]
    await pause(1_500)
    const people: string[] = []
    for (let person = 0; person < 12; person++) people.push(await createPerson())
    await Promise.all(
      people.map((username, index) =>
        requestReset(username, { ...server, url: [server, ...others][index % 3]?.url ?? '' }),
      ),
    )
    for (const username of people) await mail.expect(addressOf(username))
    await pause(3_500)
    for (const username of people) expect(mailsTo(username)).toHaveLength(1)
    for (const other of others) await other.stop()
  })
})

describe('a crash', () => {
  test('during a delivery loses no mail', async () => {
    const before = await startTestServer({ SMTP_URL: mail.url })
    const username = await createPerson(before)
    await before.stop()
    const child = await startChildServer({ ...before.env, LOG_LEVEL: 'info' })
    mail.hang(true)
    await requestReset(username, { ...before, url: child.url })
    const [first] = await mail.expect(addressOf(username))
    await child.kill()
    mail.hang(false)
    if (!isPglite) await sql(before, `update mail set next_attempt_at = now()`)
    await child.start()
    const [, second] = await mail.expect(addressOf(username), 2, RETRY_SECONDS)
    expect(second?.headers.get('message-id')).toBe(first?.headers.get('message-id'))
    await child.kill()
    await before.remove()
  }, 90_000)
})

describe('without a mail server', () => {
  test.runIf(isPglite)('writes mail into a folder and logs the file, not the link', async () => {
    const local = await startTestServer()
    const username = await createPerson(local)
    await requestReset(username, local)
    const dataDir = local.env.DATA_DIR ?? ''
    const [sent] = await readOutbox(dataDir).expect(addressOf(username))
    expect(sent?.link).toMatch(/^\/account\/link\/[\w-]{43}$/)
    const [name = ''] = await readdir(join(dataDir, 'outbox'))
    expect((await stat(join(dataDir, 'outbox', name))).mode & 0o777).toBe(0o600)
    expect((await stat(join(dataDir, 'outbox'))).mode & 0o777).toBe(0o700)
    await vi.waitFor(() => expect(local.logged()).toContain(name), 3_000)
    expect(local.logged()).toContain('"subject":"Set a new password"')
    expect(local.logged()).toContain('"to":"m…@example.test"')
    expect(local.logged()).not.toContain(sent?.link?.split('/').at(-1))
    expect(local.logged()).not.toContain(addressOf(username))
    await local.remove()
  })

  test.skipIf(isPglite)('and with DATABASE_URL, offers no feature that needs mail', async () => {
    const mute = await startTestServer()
    expect(mute.logged()).toMatch(
      /"event":"mail","by":"nothing","registration":false,"reset":false,"email":false/,
    )
    const username = await createPerson(mute)
    const user = new EndUser(mute.issuer)
    const page = await user.open('/account/sign-in')
    expect(page.html).not.toMatch(/account\/(reset|register)/)
    await user.submit(page, { username, password: PASSWORD })
    expect((await user.open('/account')).html).not.toContain('/account/email')
    const changed = await user.submit(await user.open('/account/password'), {
      password: PASSWORD,
      new_password: `${PASSWORD} and more`,
    })
    expect(changed.status).toBe(200)
    expect(await rows(mute, `select from mail`)).toEqual([])
    await mute.remove()
  })
})
