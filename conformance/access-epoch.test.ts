import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cloneBrowser, createTestClient, type TestClient } from './support/code-flow.ts'
import { runDuringChange } from './support/concurrent-change.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, rows, send } from './support/http.ts'
import { CALLBACK } from './support/relying-party.ts'

const NEW_PASSWORD = 'a wholly new passphrase'
const REMEMBER = 'sallyport_remember'

let server: TestServer
let firstParty: TestClient
let thirdParty: TestClient
let people = 0

beforeAll(async () => {
  server = await startTestServer()
  firstParty = await createTestClient(server, { first_party: true })
  thirdParty = await createTestClient(server)
})
afterAll(() => server?.remove())

async function createPerson(): Promise<string> {
  const username = `person${people++}`
  await server.admin.users.create({ username, password: PASSWORD })
  return username
}

/** Submits a form without following redirects. */
async function submitAndHold(
  user: EndUser,
  page: Page,
  fields: Record<string, string> = {},
): Promise<Answer> {
  const form = new URLSearchParams(page.$('form').first().serialize())
  for (const [name, value] of Object.entries(fields)) form.set(name, value)
  const url = new URL(page.$('form').first().attr('action') ?? '', page.url).href
  return await send(url.replace(server.issuer, server.url), {
    method: 'POST',
    body: form,
    headers: { cookie: await user.jar.getCookieString(url), origin: server.issuer, accept: 'text/html' },
  })
}

const isSignedIn = async (user: EndUser) => (await firstParty.authorizeSilently(user)).has('code')

/** Signs in on the page that the account page leads to. */
async function signInToAccount(username: string, fields: Record<string, string> = {}): Promise<EndUser> {
  const user = new EndUser(server.issuer)
  await user.submit(await user.open('/account'), { username, password: PASSWORD, ...fields })
  return user
}

const ENDINGS = [
  [
    'a new password',
    (username: string) => server.admin.users.setPassword({ username, password: NEW_PASSWORD }),
  ],
  ['sign-out everywhere', (username: string) => server.admin.users.signOut({ username })],
  [
    'disabling, and enabling again',
    async (username: string) => {
      await server.admin.users.disable({ username })
      await server.admin.users.enable({ username })
    },
  ],
] as const

describe('a sign-in page that was answered', () => {
  test.for(ENDINGS)('is rejected after %s, also in the same second', async ([, revoke]) => {
    const username = await createPerson()
    const user = new EndUser(server.issuer)
    const page = await user.open((await firstParty.request()).url)
    const held = await submitAndHold(user, page, { username, password: PASSWORD })
    expect(held.status).toBe(303)
    await revoke(username)
    const asked = await user.open(held.headers.get('location') ?? '')
    expect(asked.leftTo).toBeUndefined()
    expect(asked.$('input[name=password]')).toHaveLength(1)
    expect(await isSignedIn(cloneBrowser(user))).toBe(false)
  })

  test('issues no grant on the consent page after a revocation', async () => {
    const username = await createPerson()
    const user = new EndUser(server.issuer)
    const page = await user.open((await thirdParty.request()).url)
    const consent = await user.submit(page, { username, password: PASSWORD })
    expect(consent.$('button[name=action][value=approve]')).toHaveLength(1)
    await server.admin.users.signOut({ username })
    const asked = await user.submit(consent, {}, 'approve')
    expect(asked.leftTo).toBeUndefined()
    expect(asked.$('input[name=password]')).toHaveLength(1)
  })

  test('restarts the request when it is submitted twice, and counts the attempt', async () => {
    const username = await createPerson()
    const user = new EndUser(server.issuer)
    const page = await user.open((await firstParty.request({ state: 'the same' })).url)
    await submitAndHold(user, page, { username, password: PASSWORD })
    const again = await submitAndHold(user, page, { username, password: PASSWORD })
    expect(again.status).toBe(303)
    expect(again.headers.get('location')).toMatch(/^\/authorize\?.*state=the\+same/)
    const events = await server.admin.events.list({ user: username })
    expect(events.filter(({ type }) => type === 'sign_in.refused')).toHaveLength(1)
    expect(events.filter(({ type }) => type === 'sign_in.accepted')).toHaveLength(1)
  })

  test('accepts one of several concurrent answers', async () => {
    const username = await createPerson()
    const user = new EndUser(server.issuer)
    const page = await user.open((await firstParty.request()).url)
    const answers = await Promise.all(
      Array.from({ length: 3 }, () => submitAndHold(user, page, { username, password: PASSWORD })),
    )
    const resumptions = answers.filter(({ headers }) =>
      /^http.*\/authorize\/[\w-]+$/.test(headers.get('location') ?? ''),
    )
    expect(resumptions).toHaveLength(1)
  })

  test('rejects an answer after the person cancelled', async () => {
    const username = await createPerson()
    const user = new EndUser(server.issuer)
    const page = await user.open((await thirdParty.request()).url)
    const consent = await user.submit(page, { username, password: PASSWORD })
    await submitAndHold(user, consent, { action: 'deny' })
    const again = await submitAndHold(user, consent, { action: 'approve' })
    expect(again.headers.get('location')).toMatch(/^\/authorize\?/)
    // A rejected answer must not be stored as consent, which would skip the next consent page.
    const asked = await user.open((await thirdParty.request()).url)
    expect(asked.$('button[value=approve]')).toHaveLength(1)
    const events = await server.admin.events.list({ user: username })
    expect(events.filter(({ type }) => type === 'consent.given')).toEqual([])
  })
})

// The change commits while the request waits for its lock, so the request has read the previous epoch.
describe.skipIf(isPglite)('a request that was in flight when the epoch was raised (needs Postgres)', () => {
  const raise = (username: string) =>
    ['update account set access_epoch = access_epoch + 1 where username = $1', username] as const

  const storedFor = async (username: string) =>
    (
      await rows<{ sessions: number; browsers: number; grants: number; consents: number }>(
        server,
        `select (select count(*)::int from oidc_session where account_sub = sub and ended_at is null) as sessions,
          (select count(*)::int from remembered_browser where account_sub = sub) as browsers,
          (select count(*)::int from oidc_grant where account_sub = sub) as grants,
          (select count(*)::int from consent where account_sub = sub) as consents
        from account where username = $1`,
        [username],
      )
    )[0]
  const NOTHING = { sessions: 0, browsers: 0, grants: 0, consents: 0 }

  test('stores no remembered browser', async () => {
    const username = await createPerson()
    const user = new EndUser(server.issuer)
    const page = await user.open((await firstParty.request()).url)
    const held = await runDuringChange(server, raise(username), () =>
      submitAndHold(user, page, { username, password: PASSWORD, remember: 'yes' }),
    )
    expect(held.headers.getSetCookie().join()).not.toContain(REMEMBER)
    expect((await user.open(held.headers.get('location') ?? '')).$('input[name=password]')).toHaveLength(1)
    expect(await storedFor(username)).toEqual(NOTHING)
  })

  test('stores no session on the account page', async () => {
    const username = await createPerson()
    const user = new EndUser(server.issuer)
    const page = await user.open('/account')
    const left = await runDuringChange(server, raise(username), () =>
      user.submit(page, { username, password: PASSWORD }),
    )
    expect(left.$('input[name=password]')).toHaveLength(1)
    expect(await storedFor(username)).toEqual(NOTHING)
  })

  test('stores no session and no grant for an app', async () => {
    const username = await createPerson()
    const user = new EndUser(server.issuer)
    const page = await user.open((await firstParty.request()).url)
    const held = await submitAndHold(user, page, { username, password: PASSWORD })
    const left = await runDuringChange(server, raise(username), () =>
      user.open(held.headers.get('location') ?? ''),
    )
    expect(left.leftTo?.searchParams.has('code') ?? false).toBe(false)
    expect(await isSignedIn(cloneBrowser(user))).toBe(false)
    expect(await storedFor(username)).toEqual(NOTHING)
  })

  test('stores no consent and no grant', async () => {
    const username = await createPerson()
    const user = new EndUser(server.issuer)
    const page = await user.open((await thirdParty.request()).url)
    const consent = await user.submit(page, { username, password: PASSWORD })
    const left = await runDuringChange(server, raise(username), () => user.submit(consent, {}, 'approve'))
    expect(left.$('input[name=password]')).toHaveLength(1)
    expect(await storedFor(username)).toMatchObject({ grants: 0, consents: 0 })
    expect(await isSignedIn(cloneBrowser(user))).toBe(false)
  })

  test('does not sign in a remembered browser', async () => {
    const username = await createPerson()
    const user = await signInToAccount(username, { remember: 'yes' })
    for (const key of ['sallyport_session', 'sallyport_session.sig'])
      user.jar.setCookieSync(`${key}=; Path=/; Max-Age=0`, user.origin)
    const left = await runDuringChange(server, raise(username), () => user.open('/account'))
    expect(left.$('input[name=password]')).toHaveLength(1)
    expect(await isSignedIn(cloneBrowser(user))).toBe(false)
  })

  test('does not sign in a browser whose remember-me token was revoked', async () => {
    const username = await createPerson()
    const user = await signInToAccount(username, { remember: 'yes' })
    for (const key of ['sallyport_session', 'sallyport_session.sig'])
      user.jar.setCookieSync(`${key}=; Path=/; Max-Age=0`, user.origin)
    // The secret was rotated before; only the statement that stores the session waits for the account.
    const left = await runDuringChange(
      server,
      ['select from account where username = $1 for update', username],
      () => user.open('/account'),
      [
        'delete from remembered_browser where account_sub = (select sub from account where username = $1)',
        username,
      ],
    )
    expect(left.$('input[name=password]')).toHaveLength(1)
    expect(await storedFor(username)).toMatchObject({ browsers: 0 })
    expect(await isSignedIn(cloneBrowser(user))).toBe(false)
  })

  test('replaces no password', async () => {
    const username = await createPerson()
    const attacker = await signInToAccount(username)
    const page = await attacker.open('/account/password')
    await runDuringChange(
      server,
      [
        `update account set access_epoch = access_epoch + 1,
          password_hash = (select password_hash from account where username = $2) where username = $1`,
        username,
        username,
      ],
      () => attacker.submit(page, { password: PASSWORD, new_password: NEW_PASSWORD }),
    )
    expect(await isSignedIn(cloneBrowser(attacker))).toBe(false)
    const owner = await signInToAccount(username)
    expect(await isSignedIn(owner)).toBe(true)
  })
})

describe('a person who changes their password', () => {
  test('stays signed in and can authorize clients', async () => {
    const username = await createPerson()
    const user = await signInToAccount(username, { remember: 'yes' })
    const before = await firstParty.getTokens({}, user, username)
    const page = await user.open('/account/password')
    const done = await user.submit(page, { password: PASSWORD, new_password: NEW_PASSWORD })
    expect(done.url).toContain('done=password')
    expect((await firstParty.refresh(before.refreshToken)).status).toBe(200)
    const other = await createTestClient(server, { first_party: true })
    expect((await other.authorizeSilently(user)).has('code')).toBe(true)
    const restarted = cloneBrowser(user)
    for (const key of ['sallyport_session', 'sallyport_session.sig'])
      restarted.jar.setCookieSync(`${key}=; Path=/; Max-Age=0`, restarted.origin)
    expect(await isSignedIn(restarted)).toBe(true)
  })
})

describe.skipIf(isPglite)('an authorization request in flight when its session ends (needs Postgres)', () => {
  test('revokes unredeemed codes (RFC 9700 §4.14)', async () => {
    const username = await createPerson()
    const user = await signInToAccount(username)
    const app = await createTestClient(server, { first_party: true })
    const request = await app.request({ scope: 'openid offline_access', prompt: 'consent' })
    const page = await user.open(request.url)
    const left = await runDuringChange(
      server,
      [
        `update oidc_session set ended_at = now()
          where account_sub = (select sub from account where username = $1) and ended_at is null`,
        username,
      ],
      () => user.submit(page, {}, 'approve'),
    )
    const answer = await app.token({
      grant_type: 'authorization_code',
      code: left.leftTo?.searchParams.get('code') ?? '',
      redirect_uri: CALLBACK,
      code_verifier: request.verifier,
    })
    expect(answer.body.error).toBe('invalid_grant')
  })
})
