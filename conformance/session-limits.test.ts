import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { later } from './support/clock.ts'
import { createTestClient, type TestClient } from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post } from './support/http.ts'

const MINUTE_SECONDS = 60
const CREDENTIALS = { username: 'ada', password: PASSWORD }

type House = { server: TestServer; app: TestClient }

async function openHouse(settings: Record<string, string> = {}): Promise<House> {
  const server = await startTestServer(settings)
  await server.admin.users.create(CREDENTIALS)
  return { server, app: await createTestClient(server, { first_party: true }) }
}

const isSignedIn = async (user: EndUser, app: TestClient) => (await app.authorizeSilently(user)).has('code')

describe('a client that registered shorter session limits', () => {
  let server: TestServer
  let app: TestClient
  let bank: TestClient

  beforeAll(async () => {
    ;({ server, app } = await openHouse())
    bank = await createTestClient(server, {
      first_party: true,
      session_idle_seconds: 5 * MINUTE_SECONDS,
      session_absolute_seconds: 60 * MINUTE_SECONDS,
    })
  })
  afterAll(() => server?.remove())

  test('requires sign-in after 5 idle minutes; for other clients the session continues (ASVS 7.3.1)', async () => {
    const { user } = await bank.getCode()
    await later(4 * MINUTE_SECONDS, async () => expect(await isSignedIn(user, bank)).toBe(true))
    await later(8 * MINUTE_SECONDS, async () => expect(await isSignedIn(user, bank)).toBe(true))
    await later(14 * MINUTE_SECONDS, async () => {
      expect((await bank.authorizeSilently(user)).get('error')).toBe('login_required')
    })
    await later(20 * MINUTE_SECONDS, async () => expect(await isSignedIn(user, app)).toBe(true))
  })

  test('requires sign-in after an hour, however active the session (ASVS 7.3.2)', async () => {
    const { user } = await bank.getCode()
    for (let minutes = 4; minutes <= 56; minutes += 4)
      await later(minutes * MINUTE_SECONDS, async () => expect(await isSignedIn(user, bank)).toBe(true))
    await later(61 * MINUTE_SECONDS, async () => {
      expect(await isSignedIn(user, app)).toBe(true)
      expect((await bank.authorizeSilently(user)).get('error')).toBe('login_required')
      const page = await user.open((await bank.request()).url)
      const done = await user.submit(page, CREDENTIALS)
      expect(done.leftTo?.searchParams.has('code')).toBe(true)
      expect(await isSignedIn(user, bank)).toBe(true)
    })
  })

  test('loses its tokens at the same time', async () => {
    const { user, accessToken, refreshToken } = await bank.getTokens({ scope: 'openid' })
    const others = await app.getTokens({ scope: 'openid' }, user)
    await later(6 * MINUTE_SECONDS, async () => {
      expect((await bank.refresh(refreshToken)).body.error).toBe('invalid_grant')
      const answer = await post(`${server.url}/introspect`, { token: accessToken }, { as: bank.client })
      expect(answer.body).toEqual({ active: false })
      expect((await app.refresh(others.refreshToken)).status).toBe(200)
    })
  })
})

describe('the limit of one active session a person', () => {
  test('revokes the oldest session with its tokens', async () => {
    const { server, app } = await openHouse({ MAX_SESSIONS: '2' })
    try {
      const users = [await app.getTokens(), await app.getTokens(), await app.getTokens()] as const
      expect(await isSignedIn(users[0].user, app)).toBe(false)
      expect((await app.refresh(users[0].refreshToken)).body.error).toBe('invalid_grant')
      expect(await isSignedIn(users[1].user, app)).toBe(true)
      expect(await isSignedIn(users[2].user, app)).toBe(true)
      // A new sign-in in the same browser does not count twice.
      const page = await users[1].user.open((await app.request({ prompt: 'login' })).url)
      await users[1].user.submit(page, CREDENTIALS)
      expect(await isSignedIn(users[1].user, app)).toBe(true)
      expect(await isSignedIn(users[2].user, app)).toBe(true)
    } finally {
      await server.remove()
    }
  })

  test('or rejects the new one with a reason until another signs out', async () => {
    const { server, app } = await openHouse({ MAX_SESSIONS: '1', MAX_SESSIONS_REACHED: 'refuse' })
    try {
      const { user } = await app.getCode()
      const second = new EndUser(server.issuer)
      const page = await second.open((await app.request()).url)
      const refused = await second.submit(page, CREDENTIALS)
      expect(refused.status).toBe(403)
      expect(refused.html).toMatch(/the number of places where you may be signed in/)
      const [event] = await server.admin.events.list({ types: ['sign_in.refused'] })
      expect(event).toMatchObject({ username: 'ada', detail: { reason: 'session_limit' } })
      expect(await isSignedIn(second, app)).toBe(false)
      // Without the right password, the limit is not revealed.
      expect((await second.submit(refused, { ...CREDENTIALS, password: 'wrong' })).status).toBe(400)
      await user.submit(await user.open('/logout'), {}, 'approve')
      const done = await second.submit(refused, CREDENTIALS)
      expect(done.leftTo?.searchParams.has('code')).toBe(true)
    } finally {
      await server.remove()
    }
  })

  test.skipIf(isPglite)('holds for concurrent sign-ins on two instances (needs Postgres)', async () => {
    for (const MAX_SESSIONS_REACHED of ['end-oldest', 'refuse']) {
      const { server, app } = await openHouse({ MAX_SESSIONS: '2', MAX_SESSIONS_REACHED })
      try {
        const other = await server.startAnother()
        const users = Array.from(
          { length: 6 },
          (_, index) => new EndUser(server.issuer, index % 2 === 0 ? server.url : other.url),
        )
        const pages = await Promise.all(users.map(async (user) => user.open((await app.request()).url)))
        await Promise.all(
          users.map(async (user, index) => {
            const page = pages[index]
            if (page) await user.submit(page, CREDENTIALS)
          }),
        )
        const signedIn = await Promise.all(users.map((user) => isSignedIn(user, app)))
        expect(signedIn.filter(Boolean), MAX_SESSIONS_REACHED).toHaveLength(2)
      } finally {
        await server.remove()
      }
    }
  })
})

describe('the limit of one active session a client', () => {
  test('revokes the older session for that client alone', async () => {
    const { server, app } = await openHouse()
    try {
      const film = await createTestClient(server, { first_party: true, max_sessions: 1 })
      const first = await film.getTokens()
      const elsewhere = await app.getTokens({}, first.user)
      const second = await film.getTokens()
      expect((await film.refresh(first.refreshToken)).body.error).toBe('invalid_grant')
      expect((await film.refresh(second.refreshToken)).status).toBe(200)
      expect((await app.refresh(elsewhere.refreshToken)).status).toBe(200)
    } finally {
      await server.remove()
    }
  })

  test('or rejects the new one: the app gets an error and no tokens', async () => {
    const { server } = await openHouse({ MAX_SESSIONS_REACHED: 'refuse' })
    try {
      const film = await createTestClient(server, { first_party: true, max_sessions: 1 })
      const first = await film.getTokens()
      const second = new EndUser(server.issuer)
      const page = await second.open((await film.request()).url)
      const left = await second.submit(page, CREDENTIALS)
      expect(left.leftTo?.searchParams.get('error') ?? left.status).toBe('access_denied')
      expect((await film.refresh(first.refreshToken)).status).toBe(200)
    } finally {
      await server.remove()
    }
  })
})
