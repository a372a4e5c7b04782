import * as client from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import {
  cloneBrowser,
  createTestClient,
  expectTokenError,
  type TestClient,
  userinfoStatus,
} from './support/code-flow.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { sql } from './support/http.ts'
import { CALLBACK, createRelyingParty, type RelyingParty } from './support/relying-party.ts'

let server: TestServer
let web: ClientDocument
let app: RelyingParty

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create({
    username: 'ada',
    email: 'ada@example.test',
    email_verified: true,
    name: 'Ada Lovelace',
    password: PASSWORD,
  })
  web = await server.admin.clients.create({
    type: 'web',
    client_name: 'Harbour Dashboard',
    redirect_uris: [CALLBACK],
  })
  app = await createRelyingParty(server.issuer, web)
})
afterAll(() => server?.remove())

describe('authorization code with PKCE', () => {
  test('a person signs in, agrees, and the app gets tokens about them (OIDC Core §3.1)', async () => {
    const request = await app.request({ scope: 'openid profile email' })
    const page = await new EndUser(server.issuer).signInAndAgree(request.url)
    const tokens = await request.redeem(page.leftTo)
    expect(tokens.token_type).toBe('bearer')
    expect(tokens.expires_in).toBe(900)
    const claims = tokens.claims()
    expect(claims?.iss).toBe(server.issuer)
    const userinfo = await client.fetchUserInfo(app.config, tokens.access_token, claims?.sub ?? '')
    expect(userinfo).toMatchObject({
      preferred_username: 'ada',
      email: 'ada@example.test',
      email_verified: true,
      name: 'Ada Lovelace',
    })
  })
})

describe('consent', () => {
  test('that is refused returns access_denied, and stores no consent (RFC 6749 §4.1.2.1)', async () => {
    const relyingParty = await createTestClient(server)
    const user = new EndUser(server.issuer)
    const { url } = await relyingParty.request()
    const consent = await user.submit(await user.open(url), { username: 'ada', password: PASSWORD })
    const { leftTo } = await user.submit(consent, {}, 'deny')
    expect(leftTo?.searchParams.get('error')).toBe('access_denied')
    expect(leftTo?.searchParams.get('state')).toBe(url.searchParams.get('state'))
    expect(leftTo?.searchParams.get('iss')).toBe(server.issuer)
    expect(leftTo?.searchParams.has('code')).toBe(false)
    expect((await relyingParty.authorizeSilently(user)).get('error')).toBe('consent_required')
  })
})

describe('a disabled or deleted person', () => {
  let relyingParty: TestClient
  let count = 0
  beforeAll(async () => {
    relyingParty = await createTestClient(server)
  })

  type Removal = (username: string) => Promise<unknown>
  const removals: [how: string, remove: Removal][] = [
    ['disabled', (username) => server.admin.users.disable({ username })],
    ['deleted', (username) => server.admin.users.delete({ username })],
  ]
  /** Changes the account by SQL, without revoking sessions. */
  const behindOurBack: [how: string, remove: Removal][] = [
    [
      'disabled in the database',
      (name) => sql(server, `update account set status = 'disabled' where username = $1`, [name]),
    ],
    ['deleted in the database', (name) => sql(server, `delete from account where username = $1`, [name])],
  ]
  const all = isPglite ? removals : [...removals, ...behindOurBack]

  async function newPerson(): Promise<string> {
    const username = `person-${++count}`
    await server.admin.users.create({ username, password: PASSWORD })
    return username
  }

  function expectRefused(page: Page): void {
    expect(page.status, page.html).toBeGreaterThanOrEqual(400)
    expect(page.status, page.html).toBeLessThan(500)
    expect(page.leftTo).toBeUndefined()
  }

  test.for(all)(
    '(%s while signed in) gets no code, refresh, userinfo or sign-in (ASVS 7.4.2)',
    async ([, remove]) => {
      const username = await newPerson()
      const { user, accessToken, refreshToken } = await relyingParty.getTokens({}, undefined, username)
      const offline = await relyingParty.getTokens(
        { scope: 'openid offline_access', prompt: 'consent' },
        new EndUser(server.issuer),
        username,
      )
      expect((await relyingParty.authorizeSilently(user)).get('code')).toBeTruthy()
      await remove(username)

      expect((await relyingParty.authorizeSilently(user)).get('error')).toBe('login_required')
      for (const token of [accessToken, offline.accessToken])
        expect(await userinfoStatus(server, token)).toBe(401)
      for (const token of [refreshToken, offline.refreshToken])
        expectTokenError(await relyingParty.refresh(token))
      const login = await user.open((await relyingParty.request()).url)
      expect(login.$('input[name=password]')).toHaveLength(1)
      expectRefused(await user.submit(login, { username, password: PASSWORD }))
      expect((await user.open('/logout')).status).toBe(200)
    },
  )

  test.for(all)('(%s before the sign-in form is sent) gets no code (ASVS 7.4.2)', async ([, remove]) => {
    const username = await newPerson()
    const user = new EndUser(server.issuer)
    const login = await user.open((await relyingParty.request()).url)
    await remove(username)
    expectRefused(await user.submit(login, { username, password: PASSWORD }))
  })

  test.for(all)(
    '(%s while the consent page is open) gets no code, and no server error (ASVS 7.4.2)',
    async ([, remove]) => {
      const username = await newPerson()
      const user = new EndUser(server.issuer)
      const { url } = await relyingParty.request()
      const consent = await user.submit(await user.open(url), { username, password: PASSWORD })
      expect(consent.$('button[name=action][value=approve]')).toHaveLength(1)
      await remove(username)

      for (const page of [
        await cloneBrowser(user).open(consent.url),
        await cloneBrowser(user).submit(consent, {}, 'approve'),
        await cloneBrowser(user).submit(consent, {}, 'deny'),
        await user.submit(consent, {}, 'approve'),
        await user.open(url),
      ]) {
        expect(page.status, page.html).toBeLessThan(500)
        expect(page.leftTo?.searchParams.has('code') ?? false).toBe(false)
      }
    },
  )

  test('of a client that was deleted meanwhile gets no code, and no server error (RFC 6749 §4.1.2.1)', async () => {
    const brief = await createTestClient(server)
    const user = new EndUser(server.issuer)
    const login = await user.open((await brief.request()).url)
    const consent = await cloneBrowser(user).submit(login, { username: 'ada', password: PASSWORD })
    await server.admin.clients.delete({ client_id: brief.client.client_id })
    for (const page of [
      await user.open(login.url),
      await user.submit(login, { username: 'ada', password: PASSWORD }),
      await user.open(consent.url),
      await user.submit(consent, {}, 'approve'),
    ])
      expectRefused(page)
  })
})
