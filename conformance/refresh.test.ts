import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  createTestClient,
  expectRefreshed,
  expectTokenError,
  type TestClient,
  type Tokens,
  tokensOf,
  userinfoStatus,
} from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { rows, sql, statuses } from './support/http.ts'

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

/** Lets the replay window pass, in which a duplicate is no reuse. */
const leaveReplayWindow = () =>
  sql(server, `update oidc_token set consumed_at = consumed_at - interval '11 seconds'`)

describe('rotation (RFC 9700 §4.14.2)', () => {
  test('every refresh returns a new refresh token, and an ID token of the same sign-in (OIDC Core §12.2)', async () => {
    const request = await app.request({ max_age: '3600' })
    const page = await ada.signInAndAgree(request.url)
    const first = await request.redeem(page.leftTo)
    const second = expectRefreshed(await app.refresh(first.refresh_token ?? ''))
    expect(second.refreshToken).not.toBe(first.refresh_token)
    expect(second.accessToken).not.toBe(first.access_token)
    const claims = JSON.parse(Buffer.from(second.idToken.split('.')[1] ?? '', 'base64url').toString())
    const original = first.claims()
    expect(original?.auth_time).toBeGreaterThan(0)
    for (const name of ['iss', 'sub', 'aud', 'auth_time', 'sid'])
      expect(claims[name]).toEqual(original?.[name])
    expectRefreshed(await app.refresh(second.refreshToken))
  })

  test.skipIf(isPglite)(
    'a spent token after the window revokes the whole family (SQL lets time pass, on Postgres)',
    async () => {
      const tokens = await app.getTokens({}, ada)
      const second = expectRefreshed(await app.refresh(tokens.refreshToken))
      const third = expectRefreshed(await app.refresh(second.refreshToken))
      await leaveReplayWindow()
      expectTokenError(await app.refresh(tokens.refreshToken))
      for (const { accessToken, refreshToken } of [tokens, second, third]) {
        expect(await userinfoStatus(server, accessToken)).toBe(401)
        expectTokenError(await app.refresh(refreshToken))
      }
      expect(server.logged()).toMatch(/"event":"grant\.revoked"/)
      // The session of the family is revoked, too, with an audit event.
      expect((await app.authorizeSilently(ada)).get('error')).toBe('login_required')
      const [event] = await rows(
        server,
        `select type, client_id, account_sub, session_uid, address from event where type like '%reused' and grant_id not in (select id from oidc_grant) order by id desc limit 1`,
      )
      expect(event).toEqual({
        type: 'refresh_token.reused',
        client_id: app.client.client_id,
        account_sub: expect.stringMatching(/^[\w-]{36}$/),
        session_uid: expect.any(String),
        address: expect.stringMatching(/127\.0\.0\.1|::1/),
      })
    },
  )

  test.skipIf(isPglite)(
    'a family of ten thousand spent tokens is revoked within a second (CWE-400)',
    async () => {
      const { refreshToken, accessToken } = await app.getTokens({}, ada)
      const successor = expectRefreshed(await app.refresh(refreshToken))
      await sql(
        server,
        `insert into oidc_token (id_hash, kind, grant_id, client_id, payload, consumed_at, expires_at)
       select sha256(n::text::bytea), kind, grant_id, client_id, payload, now() - interval '1 day', expires_at
       from oidc_token, generate_series(1, 10000) as n where id_hash = $1`,
        [createHash('sha256').update(refreshToken).digest()],
      )
      await leaveReplayWindow()
      const startedAt = performance.now()
      expectTokenError(await app.refresh(refreshToken))
      expect(performance.now() - startedAt).toBeLessThan(1_000)
      expect(await userinfoStatus(server, accessToken)).toBe(401)
      expectTokenError(await app.refresh(successor.refreshToken))
    },
  )

  test.skipIf(isPglite)(
    'a thief who refreshes first loses the tokens together with the victim (SQL lets time pass, on Postgres)',
    async () => {
      const { refreshToken: stolen } = await app.getTokens(OFFLINE, ada)
      const thief = expectRefreshed(await app.refresh(stolen))
      await leaveReplayWindow()
      expectTokenError(await app.refresh(stolen))
      expect(await userinfoStatus(server, thief.accessToken)).toBe(401)
      expectTokenError(await app.refresh(thief.refreshToken))
    },
  )

  test.skipIf(isPglite)(
    'a replay is detected by an instance that started later (needs Postgres)',
    async () => {
      const tokens = await app.getTokens({}, ada)
      const { url: at } = await server.startAnother()
      const successor = expectRefreshed(await app.refresh(tokens.refreshToken, {}, { at }))
      await leaveReplayWindow()
      const { url: third } = await server.startAnother()
      expectTokenError(await app.refresh(tokens.refreshToken, {}, { at: third }))
      expectTokenError(await app.refresh(successor.refreshToken))
      expect(await userinfoStatus(server, successor.accessToken)).toBe(401)
    },
  )

  test('twenty concurrent refreshes return at most one successor, which is active', async () => {
    const { refreshToken } = await app.getTokens({}, ada)
    const answers = await Promise.all(Array.from({ length: 20 }, () => app.refresh(refreshToken)))
    expect(Object.keys(statuses(answers)).every((status) => ['200', '400'].includes(status))).toBe(true)
    const successors = new Set(answers.flatMap(({ body }) => body.refresh_token ?? []))
    expect(successors.size).toBe(1)
    for (const successor of successors) expectRefreshed(await app.refresh(String(successor)))
  })

  test.skipIf(isPglite)(
    'twenty concurrent refreshes at several instances return at most one successor (needs Postgres)',
    async () => {
      const { url } = await server.startAnother()
      const { refreshToken } = await app.getTokens(OFFLINE, ada)
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          app.refresh(refreshToken, {}, { at: index % 2 ? url : server.url }),
        ),
      )
      const successors = new Set(answers.flatMap(({ body }) => body.refresh_token ?? []))
      expect(successors.size).toBe(1)
      for (const successor of successors) expectRefreshed(await app.refresh(String(successor)))
    },
  )
})

describe('a refresh whose answer was lost, within 10 seconds', () => {
  test('returns the same tokens each time it is repeated', async () => {
    const { refreshToken } = await app.getTokens({}, ada)
    const first = await app.refresh(refreshToken)
    expect(first.status).toBe(200)
    for (const again of await Promise.all([app.refresh(refreshToken), app.refresh(refreshToken)])) {
      expect(again.text).toBe(first.text)
      expect(again.headers.get('content-type')).toBe(first.headers.get('content-type'))
      expectRefreshed(again)
    }
    // The tokens of the retry work, and their use is no reuse.
    const { refreshToken: next } = expectRefreshed(await app.refresh(tokensOf(first).refreshToken))
    expect((await app.refresh(refreshToken)).text).toBe(first.text)
    expectRefreshed(await app.refresh(next))
  })

  test('returns the same tokens to twenty concurrent retries', async () => {
    const { refreshToken } = await app.getTokens({}, ada)
    const answers = await Promise.all(Array.from({ length: 20 }, () => app.refresh(refreshToken)))
    expect(statuses(answers)).toEqual({ 200: 20 })
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
  })

  test('is rejected with another scope, and the successor stays active', async () => {
    const { refreshToken } = await app.getTokens({ scope: 'openid profile' }, ada)
    const successor = expectRefreshed(await app.refresh(refreshToken))
    expectTokenError(await app.refresh(refreshToken, { scope: 'openid' }))
    expectRefreshed(await app.refresh(successor.refreshToken))
  })

  test.skipIf(isPglite)('is repeated by another instance (needs Postgres)', async () => {
    const { url: at } = await server.startAnother()
    const { refreshToken } = await app.getTokens({}, ada)
    const first = await app.refresh(refreshToken)
    expect((await app.refresh(refreshToken, {}, { at })).text).toBe(first.text)
  })

  test.skipIf(isPglite)(
    'is not repeated after a revocation, for a disabled person, or without the stored answer',
    async () => {
      await server.admin.users.create({ username: 'brief', password: PASSWORD })
      const brief = await app.getTokens({}, ada, 'brief')
      expectRefreshed(await app.refresh(brief.refreshToken))
      await server.admin.users.disable({ username: 'brief' })
      expectTokenError(await app.refresh(brief.refreshToken))
      const { refreshToken } = await app.getTokens({}, new EndUser(server.issuer))
      const successor = expectRefreshed(await app.refresh(refreshToken))
      await sql(server, `update oidc_refresh_answer set expires_at = now()`)
      expectTokenError(await app.refresh(refreshToken))
      expectRefreshed(await app.refresh(successor.refreshToken))
    },
  )

  test.skipIf(isPglite)('is sealed, and deleted when it cannot be repeated any more', async () => {
    const { refreshToken } = await app.getTokens({}, ada)
    const { text, body } = await app.refresh(refreshToken)
    const dump = await server.dump()
    for (const secret of [refreshToken, body.refresh_token, body.access_token, body.id_token, text])
      expect(dump).not.toContain(String(secret))
    expect(await rows(server, `select 1 from oidc_refresh_answer where expires_at > now()`)).not.toHaveLength(
      0,
    )
    await sql(server, `update oidc_refresh_answer set expires_at = now() - interval '1 second'`)
    await vi.waitFor(
      async () => expect(await rows(server, `select 1 from oidc_refresh_answer`)).toHaveLength(0),
      { timeout: 15_000, interval: 500 },
    )
  })

  test('is repeated after a restart longer than the window, and counts as reuse after another window', async () => {
    const server = await startTestServer({ REFRESH_REPLAY_SECONDS: '1' })
    await server.admin.users.create({ username: 'ada', password: PASSWORD })
    const app = await createTestClient(server)
    const { refreshToken } = await app.getTokens({}, new EndUser(server.issuer))
    const first = await app.refresh(refreshToken)
    await server.stop()
    await pause(1_200)
    const { url: at } = await server.startAnother()
    expect((await app.refresh(refreshToken, {}, { at })).text).toBe(first.text)
    await vi.waitFor(async () => expectTokenError(await app.refresh(refreshToken, {}, { at })), {
      timeout: 20_000,
      interval: 300,
    })
    expectTokenError(await app.refresh(tokensOf(first).refreshToken, {}, { at }))
    await server.remove()
  })

  test('counts as reuse at once when the setting is 0', async () => {
    const strict = await startTestServer({ REFRESH_REPLAY_SECONDS: '0' })
    await strict.admin.users.create({ username: 'ada', password: PASSWORD })
    const strictApp = await createTestClient(strict)
    const { refreshToken } = await strictApp.getTokens({}, new EndUser(strict.issuer))
    const successor = expectRefreshed(await strictApp.refresh(refreshToken))
    expectTokenError(await strictApp.refresh(refreshToken))
    expectTokenError(await strictApp.refresh(successor.refreshToken))
    await strict.remove()
  })
})

describe('a refresh that is rejected', () => {
  test('for a resource outside the grant does not spend the token (RFC 8707 §2)', async () => {
    const { refreshToken } = await app.getTokens({}, ada)
    const refused = await app.refresh(refreshToken, { resource: 'https://nowhere.example.test' })
    expectTokenError(refused, 'invalid_target')
    expectRefreshed(await app.refresh(refreshToken))
  })
})

describe('scope (RFC 6749 §6)', () => {
  const scopes = ({ scope }: Tokens) => scope.split(' ').toSorted()

  test('can be narrowed and widened again, within the granted scopes', async () => {
    const { refreshToken, scope } = await app.getTokens({ scope: 'openid profile' }, ada)
    expect(scope.split(' ').toSorted()).toEqual(['openid', 'profile'])
    const narrow = expectRefreshed(await app.refresh(refreshToken, { scope: 'openid' }))
    expect(scopes(narrow)).toEqual(['openid'])
    const whole = expectRefreshed(await app.refresh(narrow.refreshToken, { scope: 'openid profile' }))
    expect(scopes(whole)).toEqual(['openid', 'profile'])
  })

  test.for(['openid profile email', 'openid offline_access', 'openid email'])(
    'cannot become %s when profile was granted; the rejected request does not spend the token',
    async (wider) => {
      const { refreshToken } = await app.getTokens({ scope: 'openid profile' }, ada)
      expectTokenError(await app.refresh(refreshToken, { scope: wider }), 'invalid_scope')
      expectRefreshed(await app.refresh(refreshToken))
    },
  )

  test('cannot include scopes that the person granted in another request', async () => {
    const small = await app.getTokens({ scope: 'openid' }, ada)
    await app.getTokens({ scope: 'openid email' }, ada)
    expectTokenError(await app.refresh(small.refreshToken, { scope: 'openid email' }), 'invalid_scope')
  })
})

describe('an altered refresh token (RFC 6749 §10.4)', () => {
  test('is rejected, and the genuine one stays valid', async () => {
    const { refreshToken, accessToken, idToken, code } = await app.getTokens({}, ada)
    const flipped = (refreshToken.startsWith('A') ? 'B' : 'A') + refreshToken.slice(1)
    for (const forged of [
      refreshToken.slice(0, -1),
      `${refreshToken}A`,
      refreshToken.slice(1),
      flipped,
      refreshToken.toUpperCase(),
      ` ${refreshToken}`,
      accessToken,
      idToken,
      code,
      `' or 1=1 --`,
      'é',
      'r'.repeat(50_000),
    ])
      expectTokenError(await app.refresh(forged))
    for (const [hostile, expected] of [
      ['', [400]],
      [`${refreshToken}\0`, [400]],
      ['r'.repeat(1_000_000), [400, 413]],
    ] as const)
      expect(expected).toContain((await app.refresh(hostile)).status)
    expectRefreshed(await app.refresh(refreshToken))
  })

  test('of another client is rejected, and stays valid for its client (RFC 6749 §10.4)', async () => {
    const other = await createTestClient(server, { client_name: 'Other App' })
    const { refreshToken } = await app.getTokens({}, ada)
    expectTokenError(await other.refresh(refreshToken))
    const successor = expectRefreshed(await app.refresh(refreshToken))
    // A spent token of another client revokes nothing either.
    expectTokenError(await other.refresh(refreshToken))
    expectRefreshed(await app.refresh(successor.refreshToken))
  })

  test('requires client authentication (RFC 6749 §6)', async () => {
    const { refreshToken } = await app.getTokens({}, ada)
    const form = { grant_type: 'refresh_token', refresh_token: refreshToken }
    const { client_id } = app.client
    for (const as of [{ client_id }, { client_id, client_secret: 'wrong' }])
      expectTokenError(await app.token(form, { as }), 'invalid_client', 401)
    expectRefreshed(await app.refresh(refreshToken))
  })
})
