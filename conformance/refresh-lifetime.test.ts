import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { later } from './support/clock.ts'
import {
  createTestClient,
  expectRefreshed,
  expectTokenError,
  type TestClient,
  userinfoStatus,
} from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'

const DAY_SECONDS = 86_400
const OFFLINE = { scope: 'openid offline_access', prompt: 'consent' }

let server: TestServer
let app: TestClient
let ada: EndUser

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  app = await createTestClient(server)
})
afterAll(() => server?.remove())
// A new session for every test, so that a revoked family does not affect the next test.
beforeEach(() => {
  ada = new EndUser(server.issuer)
})

describe('the lifetime of a refresh token', () => {
  test('is 14 days without use (ASVS 10.4.8)', async () => {
    const unused = await app.getTokens(OFFLINE, ada)
    const used = await app.getTokens(OFFLINE, ada)
    await later(14 * DAY_SECONDS - 600, async () => expectRefreshed(await app.refresh(used.refreshToken)))
    await later(14 * DAY_SECONDS + 600, async () => expectTokenError(await app.refresh(unused.refreshToken)))
  })

  test('is 30 days for its family, however often it is used (ASVS 10.4.8)', async () => {
    let { refreshToken } = await app.getTokens(OFFLINE, ada)
    for (const days of [10, 20, 29, 29.9])
      await later(days * DAY_SECONDS, async () => {
        refreshToken = expectRefreshed(await app.refresh(refreshToken)).refreshToken
      })
    await later(30 * DAY_SECONDS + 600, async () => expectTokenError(await app.refresh(refreshToken)))
  })

  test('is the same for a family that begins late in a session (ASVS 10.4.8)', async () => {
    await app.getTokens(OFFLINE, ada)
    const begins = 2 * 3_600
    for (const seconds of [1_500, 3_000, 4_500, 6_000])
      await later(seconds, async () => expect((await app.authorizeSilently(ada)).get('code')).toBeTruthy())
    let { refreshToken } = await later(begins, () => app.getTokens(OFFLINE, ada))
    for (const days of [10, 20, 29.99])
      await later(begins + days * DAY_SECONDS, async () => {
        refreshToken = expectRefreshed(await app.refresh(refreshToken)).refreshToken
      })
  })

  test('ends with the idle session only without offline_access (OIDC Core §11)', async () => {
    const bound = await app.getTokens({}, ada)
    const offline = await app.getTokens(OFFLINE, new EndUser(server.issuer))
    const { refreshToken } = await later(25 * 60, async () =>
      expectRefreshed(await app.refresh(bound.refreshToken)),
    )
    await later(31 * 60, async () => {
      expectTokenError(await app.refresh(refreshToken))
      expect(await userinfoStatus(server, bound.accessToken)).toBe(401)
      expectRefreshed(await app.refresh(offline.refreshToken))
    })
  })

  test('ends with sign-out without offline_access (OIDC Core §11)', async () => {
    const { refreshToken, accessToken } = await app.getTokens({}, ada)
    await ada.submit(await ada.open('/logout'), {}, 'approve')
    expectTokenError(await app.refresh(refreshToken))
    expect(await userinfoStatus(server, accessToken)).toBe(401)
  })

  test('includes offline_access only after a consent page (OIDC Core §11)', async () => {
    const asked = await app.getTokens(OFFLINE, ada)
    expect(asked.scope.split(' ')).toContain('offline_access')
    const unasked = await app.getTokens({ scope: 'openid offline_access' }, new EndUser(server.issuer))
    expect(unasked.scope).toBe('openid')
    expect(unasked.refreshToken).not.toBe('')
    const trusted = await createTestClient(server, { client_name: 'House App', first_party: true })
    const page = await ada.open((await trusted.request(OFFLINE)).url)
    expect(page.$('button[name=action][value=approve]')).toHaveLength(1)
  })

  test.for<[what: string, end: (username: string) => Promise<unknown>]>([
    ['disabled', (username) => server.admin.users.disable({ username })],
    [
      'disabled and enabled again',
      async (username) => {
        await server.admin.users.disable({ username })
        await server.admin.users.enable({ username })
      },
    ],
    ['deleted', (username) => server.admin.users.delete({ username })],
    ['signed out everywhere', (username) => server.admin.users.signOut({ username })],
    [
      'given a new password',
      (username) => server.admin.users.setPassword({ username, password: 'another long pass phrase' }),
    ],
  ])('ends at once when the person is %s, also for offline tokens (RFC 9700 §4.14)', async ([what, end]) => {
    const username = `person-${what.replaceAll(' ', '-')}`
    await server.admin.users.create({ username, password: PASSWORD })
    const families = [
      await app.getTokens({}, ada, username),
      await app.getTokens(OFFLINE, new EndUser(server.issuer), username),
    ]
    await end(username)
    for (const { accessToken, refreshToken } of families) {
      expectTokenError(await app.refresh(refreshToken))
      expect(await userinfoStatus(server, accessToken)).toBe(401)
    }
  })
})
