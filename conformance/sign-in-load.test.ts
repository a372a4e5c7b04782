import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { useFullPasswordCost } from './support/argon2.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post, statuses } from './support/http.ts'

const PEOPLE = 120

let server: TestServer
let service: ClientDocument

useFullPasswordCost()
beforeAll(async () => {
  server = await startTestServer({ TRUSTED_PROXIES: '127.0.0.1,::1' })
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  service = await server.admin.clients.create({ type: 'service', client_name: 'Robot' })
})
afterAll(() => server?.remove())

/** A browser without an account, with its own address. */
function stranger(index: number): EndUser {
  const user = new EndUser(server.issuer, server.url)
  user.headers = { 'x-forwarded-for': `198.51.100.${index}` }
  return user
}

test('concurrent sign-ins are verified up to the queue limit, rejected with Retry-After beyond it, and do not delay other requests (CWE-400)', async () => {
  const crowd = await Promise.all(
    Array.from({ length: PEOPLE }, async (_, index) => {
      const user = stranger(index)
      return { user, index, page: await user.open('/account/sign-in') }
    }),
  )
  const answers: Page[] = []
  const signingIn = crowd.map(async ({ user, index, page }) => {
    answers.push(await user.submit(page, { username: `nobody-${index}`, password: PASSWORD }))
  })
  const tokens = await Promise.all(
    Array.from({ length: 20 }, () =>
      post(`${server.url}/token`, { grant_type: 'client_credentials' }, { as: service }),
    ),
  )
  expect(statuses(tokens)).toEqual({ 200: 20 })
  await Promise.all(signingIn)

  const busy = answers.filter(({ status }) => status === 503)
  const checked = answers.filter(({ status }) => status === 400)
  expect(busy.length + checked.length).toBe(PEOPLE)
  // The numbers depend on the machine: no request waits longer than 5 seconds.
  expect(checked.length).toBeGreaterThan(0)
  expect(busy.length).toBeGreaterThan(0)
  for (const { headers, $ } of busy) {
    expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(3)
    expect($('[role=alert]').text()).toContain('We cannot check your password just now')
  }
  // The next sign-in is checked.
  const ada = stranger(PEOPLE)
  const page = await ada.submit(await ada.open('/account/sign-in'), { username: 'ada', password: PASSWORD })
  expect(page.$('h1').text()).toBe('Your account')
})

test('a browser with a device cookie signs in during a flood of unknown browsers', async () => {
  const ada = stranger(200)
  const credentials = { username: 'ada', password: PASSWORD }
  await ada.submit(await ada.open('/account/sign-in'), credentials)
  ada.jar.setCookieSync('sallyport_session=; Max-Age=0; Path=/', server.issuer)
  const form = await ada.open('/account/sign-in')
  const crowd = await Promise.all(
    Array.from({ length: PEOPLE }, async (_, index) => {
      const user = stranger(index)
      return { user, index, page: await user.open('/account/sign-in') }
    }),
  )
  let isOver = false
  let refused = 0
  const guessing = crowd.map(async ({ user, index, page }) => {
    for (let times = 0; !isOver; times++) {
      const guess = { username: `somebody-${index}-${times}`, password: PASSWORD }
      if ((await user.submit(page, guess)).status === 503) refused++
    }
  })
  await expect.poll(() => refused, { timeout: 20_000 }).toBeGreaterThan(PEOPLE)
  const page = await ada.submit(form, credentials)
  isOver = true
  await Promise.all(guessing)
  expect(page.$('h1').text()).toBe('Your account')
})

test('sign-ins with any name do not delay a new password in the same network (CWE-400)', async () => {
  const ada = stranger(210)
  await ada.submit(await ada.open('/account/sign-in'), { username: 'ada', password: PASSWORD })
  const form = await ada.open('/account/password')
  const crowd = await Promise.all(
    Array.from({ length: 30 }, async () => {
      const user = stranger(210)
      return { user, page: await user.open('/account/sign-in') }
    }),
  )
  // One at a time, and each with a pause.
  const guessing = Promise.all(
    crowd.map(({ user, page }) => user.submit(page, { username: 'new password', password: PASSWORD })),
  )
  const changing = ada.submit(form, { password: PASSWORD, new_password: 'a wholly new passphrase' })
  const first = await Promise.race([guessing.then(() => 'guesses'), changing.then(() => 'new password')])
  await guessing
  expect((await changing).$('h1').text()).toBe('Your account')
  expect(first).toBe('new password')
})
