import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  createTestClient,
  expectRefreshed,
  expectTokenError,
  type TestClient,
  tokensOf,
} from './support/code-flow.ts'
import { FaultProxy, type Statement } from './support/fault-proxy.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { exchange, posting } from './support/http.ts'

const isCommit = ({ text }: Statement) => text.includes('/* token_commit */')

describe('a refresh that was committed, but whose answer was lost', () => {
  let server: TestServer
  let faultProxy: FaultProxy
  let app: TestClient

  beforeAll(async () => {
    server = await startTestServer({ REFRESH_REPLAY_SECONDS: '1' }, async (url) => {
      const database = new URL(url)
      faultProxy = new FaultProxy({ host: database.hostname, port: Number(database.port) })
      database.port = String(await faultProxy.open())
      return database.href
    })
    await server.admin.users.create({ username: 'ada', password: PASSWORD })
    app = await createTestClient(server, { first_party: true })
  })
  afterAll(async () => {
    await server?.remove()
    faultProxy?.close()
  })

  /** The database fails at each attempt. */
  async function loseAnswer(): Promise<string> {
    const { refreshToken } = await app.getTokens()
    const injected = faultProxy.onStatement('after', { kind: 'drop' }, { times: 3 }, isCommit)
    const form = { grant_type: 'refresh_token', refresh_token: refreshToken }
    const answer = await exchange(`${server.url}/token`, posting(form, { as: app.client }))
    expect(answer.status).toBe(503)
    expect(injected.affected()).toHaveLength(3)
    return refreshToken
  }

  test('is repeated for the client’s retry, however long the outage was (RFC 9700 §4.14.2)', async () => {
    const refreshToken = await loseAnswer()
    await pause(2_500)
    const again = await app.refresh(refreshToken)
    expect(again.status, again.text).toBe(200)
    const next = tokensOf(again)
    expectRefreshed(await app.refresh(next.refreshToken))
  })

  test('is not repeated to another client, nor for another request', async () => {
    const refreshToken = await loseAnswer()
    await pause(2_500)
    expectTokenError(await app.refresh(refreshToken, { scope: 'openid profile' }), 'invalid_scope')
    const other = await createTestClient(server, { first_party: true, client_name: 'Other' })
    expectTokenError(await other.refresh(refreshToken))
  })
})
