import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { later } from './support/clock.ts'
import { createTestClient, type TestClient } from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { FaultProxy, isHousekeeping } from './support/fault-proxy.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, post, send, statuses } from './support/http.ts'

const API = 'https://tides.example.test'

/** The number of statements per request: the cost of each request to the database. It must not grow. */
describe('a request', () => {
  let server: TestServer
  let faultProxy: FaultProxy
  let app: TestClient
  let service: ClientDocument
  let tv: ClientDocument
  let ada: EndUser

  beforeAll(async () => {
    server = await startTestServer({}, async (url) => {
      const database = new URL(url)
      faultProxy = new FaultProxy({ host: database.hostname, port: Number(database.port) })
      database.port = String(await faultProxy.open())
      return database.href
    })
    const { clients, resources, users } = server.admin
    await users.create({ username: 'ada', password: PASSWORD })
    await resources.create({ identifier: API, scope: 'tides:read', format: 'jwt' })
    service = await clients.create({ type: 'service', client_name: 'Robot', resources: [API] })
    tv = await clients.create({ type: 'device', client_name: 'Bridge TV' })
    app = await createTestClient(server, { first_party: true })
    ada = new EndUser(server.issuer)
    // Until the first change notification arrives, a server caches rows for half a second only.
    await pause(1_500)
  })
  // Fills the cache of clients and resources, so that reading them is not counted.
  beforeEach(async () => {
    await app.getTokens({}, ada)
    await credentials()
    await credentials({ resource: API })
    await post(`${server.url}/device/authorize`, {}, { as: tv })
  })
  afterAll(async () => {
    await server?.remove()
    faultProxy?.close()
  })

  const credentials = (more: Record<string, string> = {}) =>
    post(`${server.url}/token`, { grant_type: 'client_credentials', ...more }, { as: service })
  const introspect = (token: string, as: ClientDocument | TestClient['client'], more = {}) =>
    post(`${server.url}/introspect`, { token, ...more }, { as })

  /** @returns the names of the statements that a request executes. */
  async function statementsOf(work: () => Promise<Answer | URLSearchParams>): Promise<string[]> {
    const statements = await faultProxy.watch(
      async () => {
        const answer = await work()
        if ('status' in answer) expect(answer.status, answer.text).toBeLessThan(400)
      },
      (statement) => !isHousekeeping(statement),
    )
    return statements.map((text) => /^\/\* (\w+) \*\//.exec(text)?.[1] ?? text)
  }

  test('for client credentials executes one statement, and none for a JWT', async () => {
    expect(await statementsOf(() => credentials())).toEqual(['token_insert'])
    expect(await statementsOf(() => credentials({ resource: API }))).toEqual([])
  })

  test('for a code or a refresh executes one look-up and one commit', async () => {
    const { form } = await app.getCode({}, ada)
    let refreshToken = ''
    const redeem = async () => {
      const answer = await app.token(form)
      refreshToken = String(answer.body.refresh_token)
      return answer
    }
    expect(await statementsOf(redeem)).toEqual(['token_find', 'token_commit'])
    expect(await statementsOf(() => app.refresh(refreshToken))).toEqual(['token_find', 'token_commit'])
  })

  test('for introspection of any token, with and without a hint, and for userinfo executes one statement', async () => {
    const { accessToken, refreshToken } = await app.getTokens({}, ada)
    const { body } = await credentials()
    for (const [token, as] of [
      [accessToken, app.client],
      [refreshToken, app.client],
      [String(body.access_token), service],
      ['never-was', service],
    ] as const) {
      expect(await statementsOf(() => introspect(token, as))).toEqual(['token_find'])
      for (const token_type_hint of ['access_token', 'refresh_token'])
        expect(await statementsOf(() => introspect(token, as, { token_type_hint }))).toEqual(['token_find'])
    }
    const headers = { authorization: `Bearer ${accessToken}` }
    expect(await statementsOf(() => send(`${server.url}/userinfo`, { headers }))).toEqual(['token_find'])
  })

  test('of a signed-in browser finds its session and stores the code, and stores the session once a minute', async () => {
    expect(await statementsOf(() => app.authorizeSilently(ada))).toEqual(['session_find', 'token_insert'])
    await later(61, async () => {
      expect(await statementsOf(() => app.authorizeSilently(ada))).toHaveLength(3)
      expect(await statementsOf(() => app.authorizeSilently(ada))).toHaveLength(2)
    })
  })

  test('for a sign-in page executes 3 statements, and its answer 12', async () => {
    const stranger = new EndUser(server.issuer, server.url)
    const { url } = await app.request()
    let page = await stranger.open('/')
    const ask = async () => {
      page = await stranger.open(url)
      return new URLSearchParams()
    }
    expect(await statementsOf(ask)).toHaveLength(3)
    const signIn = async () => {
      page = await stranger.submit(page, { username: 'ada', password: PASSWORD })
      return new URLSearchParams()
    }
    // Up to the code; two of these count the attempt and settle the count.
    expect(await statementsOf(signIn)).toHaveLength(12)
  })

  test('of a waiting device executes one look-up and records the poll', async () => {
    const { body } = await post(`${server.url}/device/authorize`, {}, { as: tv })
    const form = {
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: String(body.device_code),
    }
    const poll = async () => {
      const answer = await post(`${server.url}/token`, form, { as: tv })
      expect(answer.body.error).toBe('authorization_pending')
      return { ...answer, status: 200 }
    }
    expect(await statementsOf(poll)).toEqual(['token_find', 'device_poll'])
  })

  test('that revokes a token executes one statement for all tokens of the grant', async () => {
    const { refreshToken } = await app.getTokens({}, ada)
    expect((await app.refresh(refreshToken)).status).toBe(200)
    const revoke = () => post(`${server.url}/revoke`, { token: refreshToken }, { as: app.client })
    expect(await statementsOf(revoke)).toEqual(['token_find', 'revoke_tokens'])
  })

  test('shares its statements with concurrent requests', async () => {
    const answers: Answer[] = []
    // All four statements that may be in flight are slow; meanwhile the other requests queue.
    faultProxy.onStatement('before', { kind: 'delay', milliseconds: 1_000 }, { times: 4 }, ({ text }) =>
      text.includes('token_insert'),
    )
    const statements = await statementsOf(async () => {
      answers.push(...(await Promise.all(Array.from({ length: 60 }, () => credentials()))))
      return answers[0] as Answer
    })
    expect(statuses(answers)).toEqual({ 200: 60 })
    expect(new Set(answers.map(({ body }) => body.access_token)).size).toBe(60)
    expect(statements.length).toBeLessThan(20)
  })
})
