import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { later } from './support/clock.ts'
import {
  createTestClient,
  expectTokenError,
  type TestClient,
  tokensOf,
  userinfoStatus,
} from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post, sql, statuses } from './support/http.ts'

let server: TestServer
let app: TestClient
let other: TestClient
let ada: EndUser

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  app = await createTestClient(server)
  other = await createTestClient(server, { client_name: 'Other App' })
})
afterAll(() => server?.remove())
// A new session for every test, so that a revoked grant does not affect the next test.
beforeEach(() => {
  ada = new EndUser(server.issuer)
})

async function expectAlive({ accessToken, refreshToken }: { accessToken: string; refreshToken: string }) {
  expect(await userinfoStatus(server, accessToken)).toBe(200)
  expect((await app.refresh(refreshToken)).status).toBe(200)
}

async function expectDead({ accessToken, refreshToken }: { accessToken: string; refreshToken: string }) {
  expect(await userinfoStatus(server, accessToken)).toBe(401)
  expectTokenError(await app.refresh(refreshToken))
}

describe('an authorization code is accepted once (RFC 6749 §4.1.2)', () => {
  test('a second use within ten seconds is rejected and keeps the tokens of the first', async () => {
    const { form, ...tokens } = await app.getTokens({}, ada)
    for (let attempt = 0; attempt < 3; attempt++) expectTokenError(await app.token(form))
    await expectAlive(tokens)
  })

  test.skipIf(isPglite)(
    'a later second use revokes the grant with every token (SQL lets time pass, on Postgres)',
    async () => {
      const { form, ...tokens } = await app.getTokens({}, ada)
      const refreshed = tokensOf(await app.refresh(tokens.refreshToken))
      expect(await userinfoStatus(server, refreshed.accessToken)).toBe(200)
      await sql(server, `update oidc_token set consumed_at = consumed_at - interval '11 seconds'`)
      expectTokenError(await app.token(form))
      await expectDead(tokens)
      await expectDead(refreshed)
      // The consent outlives the grant: the app gets another grant.
      expect((await app.authorizeSilently(ada)).get('code')).toBeTruthy()
    },
  )

  test.skipIf(isPglite)(
    'a later use by another client revokes nothing (SQL lets time pass, on Postgres)',
    async () => {
      const { form, ...tokens } = await app.getTokens({}, ada)
      await sql(
        server,
        `update oidc_token set consumed_at = consumed_at - interval '11 seconds' where kind = 2`,
      )
      expectTokenError(await other.token(form))
      await expectAlive(tokens)
    },
  )

  test('one of twenty concurrent redemptions returns tokens, and they are active', async () => {
    const { form } = await app.getCode({}, ada)
    const answers = await Promise.all(Array.from({ length: 20 }, () => app.token(form)))
    expect(statuses(answers)).toEqual({ 200: 1, 400: 19 })
    for (const answer of answers) {
      if (answer.status === 200) await expectAlive(tokensOf(answer))
      else expectTokenError(answer)
    }
  })

  test.skipIf(isPglite)(
    'one of twenty concurrent redemptions at several instances returns tokens (needs Postgres)',
    async () => {
      const { url } = await server.startAnother()
      const { form } = await app.getCode({}, ada)
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) => app.token(form, { at: index % 2 ? url : server.url })),
      )
      expect(statuses(answers)).toEqual({ 200: 1, 400: 19 })
      const winner = answers.find(({ status }) => status === 200)
      if (winner) await expectAlive(tokensOf(winner))
    },
  )

  test.skipIf(isPglite)('a code of one instance is redeemed once at another (needs Postgres)', async () => {
    const another = await server.startAnother()
    const { form } = await app.getCode({}, new EndUser(server.issuer, another.url))
    const answer = await app.token(form)
    expect(answer.status, answer.text).toBe(200)
    expect(await userinfoStatus(another, tokensOf(answer).accessToken)).toBe(200)
    for (const at of [server.url, another.url]) expectTokenError(await app.token(form, { at }))
    await expectAlive(tokensOf(answer))
  })

  test('a code expires after a minute (FAPI 2.0 §5.3.2.1)', async () => {
    const inTime = await app.getCode({}, ada)
    expect((await later(55, () => app.token(inTime.form))).status).toBe(200)
    const { form } = await app.getCode({}, ada)
    // Clocks may differ by 15 seconds.
    expectTokenError(await later(60 + 16, () => app.token(form)))
  })
})

describe('an authorization code is bound', () => {
  test('to its client: another client is rejected, and the code stays valid (RFC 6749 §4.1.3)', async () => {
    const { form } = await app.getCode({}, ada)
    expectTokenError(await other.token(form))
    const answer = await app.token(form)
    expect(answer.status, answer.text).toBe(200)
    await expectAlive(tokensOf(answer))
  })

  test('to the code grant: it is no refresh token and no access token (RFC 6749 §1.5)', async () => {
    const { code, form } = await app.getCode({}, ada)
    expectTokenError(await app.refresh(code))
    expect(await userinfoStatus(server, code)).toBe(401)
    expect((await app.token(form)).status).toBe(200)
  })
})

describe('between code and token', () => {
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
  ])('a person is %s, which revokes the code (RFC 9700 §4.14)', async ([what, end]) => {
    const username = `person-${what.replaceAll(' ', '-')}`
    await server.admin.users.create({ username, password: PASSWORD })
    const { form } = await app.getCode({}, ada, username)
    await end(username)
    expectTokenError(await app.token(form))
  })

  test('a sign-out revokes the code (RFC 9700 §4.14)', async () => {
    const { form } = await app.getCode({}, ada)
    await ada.submit(await ada.open('/logout'), {}, 'approve')
    expectTokenError(await app.token(form))
  })

  test.for<[what: string, end: (client_id: string) => Promise<unknown>]>([
    ['deleted', (client_id) => server.admin.clients.delete({ client_id })],
    ['disabled', (client_id) => server.admin.clients.update({ client_id, disabled: true })],
  ])('the client is %s, which returns invalid_client (RFC 6749 §5.2)', async ([, end]) => {
    const brief = await createTestClient(server, { client_name: 'Brief App' })
    const { form } = await brief.getCode({}, ada)
    await end(brief.client.client_id)
    expectTokenError(await brief.token(form), 'invalid_client', 401)
  })
})

describe('a malformed code', () => {
  test.for<[what: string, code: string, statuses: number[]]>([
    ['SQL', `' or 1=1; drop table oidc_token; --`, [400]],
    ['JSON', '{"$ne":null}', [400]],
    ['nothing', '', [400]],
    ['a NUL byte', 'a\0b', [400]],
    ['a lone surrogate, encoded', '\ud800', [400]],
    ['50 KB', 'c'.repeat(50_000), [400]],
    ['1 MB', 'c'.repeat(1_000_000), [400, 413]],
    ['a path', '../../etc/passwd', [400]],
    ['a format string', '%s%n{{7*7}}', [400]],
  ])('%s is rejected without internal details (ASVS 16.5.1)', async ([, code, allowed]) => {
    const { form } = await app.getCode({}, ada)
    const answer = await app.token({ ...form, code })
    expect(allowed).toContain(answer.status)
    expect(answer.body.error).toMatch(/^invalid_(grant|request)$/)
    expect((await app.token(form)).status).toBe(200)
  })

  test('that is a repeated parameter is rejected (RFC 6749 §3.2)', async () => {
    const { form, code } = await app.getCode({}, ada)
    const twice = new URLSearchParams(form)
    twice.append('code', code)
    expectTokenError(await post(`${server.issuer}/token`, twice, { as: app.client }), 'invalid_request')
    expect((await app.token(form)).status).toBe(200)
  })
})

describe('a token response', () => {
  test('is JSON that no cache stores, with the requested scope (RFC 6749 §5.1)', async () => {
    const { form } = await app.getCode({ scope: 'openid email' }, ada)
    const { status, headers, body } = await app.token(form)
    expect(status).toBe(200)
    expect(headers.get('content-type')).toMatch(/^application\/json/)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body).toMatchObject({ token_type: 'Bearer', expires_in: 900, scope: 'openid email' })
    expect(Object.keys(body).sort()).toEqual([
      'access_token',
      'expires_in',
      'id_token',
      'refresh_token',
      'scope',
      'token_type',
    ])
  })

  test('follows a redirect whose code is neither cached nor sent as Referer (RFC 9700 §4.2.4)', async () => {
    const { user } = await app.getCode({}, ada)
    const { leftTo, headers } = await user.open((await app.request()).url)
    expect(leftTo?.searchParams.get('code')).toBeTruthy()
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('referrer-policy')).toBe('no-referrer')
  })

  test('without the openid scope has no ID token, and userinfo rejects its access token (OIDC Core §5.3)', async () => {
    const { form } = await app.getCode({ scope: 'profile' }, ada)
    const answer = await app.token(form)
    expect(answer.status, answer.text).toBe(200)
    expect(answer.body).not.toHaveProperty('id_token')
    expect(await userinfoStatus(server, String(answer.body.access_token))).toBeGreaterThanOrEqual(400)
  })
})
