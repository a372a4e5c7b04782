import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import {
  createTestClient,
  expectRefreshed,
  expectTokenError,
  type TestClient,
  type Tokens,
  tokensOf,
  userinfoStatus,
} from './support/code-flow.ts'
import { approveDevice, pollDevice, startDevice } from './support/device-flow.ts'
import { EndUser } from './support/end-user.ts'
import { FaultProxy } from './support/fault-proxy.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { rows, sql } from './support/http.ts'

const OFFLINE = { scope: 'openid offline_access', prompt: 'consent' }

let server: TestServer
let faultProxy: FaultProxy
let app: TestClient
let other: TestClient
let tv: ClientDocument
let ada: EndUser

beforeAll(async () => {
  server = await startTestServer({}, async (url) => {
    const database = new URL(url)
    faultProxy = new FaultProxy({ host: database.hostname, port: Number(database.port) })
    database.port = String(await faultProxy.open())
    return database.href
  })
  const { clients, users } = server.admin
  await users.create({ username: 'ada', password: PASSWORD })
  app = await createTestClient(server)
  other = await createTestClient(server, { client_name: 'Other App' })
  tv = await clients.create({ type: 'device', client_name: 'Bridge TV' })
})
afterAll(async () => {
  await server?.remove()
  faultProxy?.close()
})
// A separate session for every test.
beforeEach(() => {
  ada = new EndUser(server.issuer)
})

/** Passes the window in which a duplicate is refused without a revocation. */
const leaveReplayWindow = () =>
  sql(server, `update oidc_token set consumed_at = consumed_at - interval '1 minute'`)

/** Spends a refresh token, and reuses it after the window. */
async function reuse({ refreshToken }: Tokens, of = app): Promise<Tokens> {
  const next = expectRefreshed(await of.refresh(refreshToken))
  await leaveReplayWindow()
  expectTokenError(await of.refresh(refreshToken))
  return next
}

async function expectAlive({ accessToken, refreshToken }: Tokens, of = app): Promise<void> {
  expect(await userinfoStatus(server, accessToken)).toBe(200)
  expectRefreshed(await of.refresh(refreshToken))
}

async function expectDead({ accessToken, refreshToken }: Tokens, of = app): Promise<void> {
  expect(await userinfoStatus(server, accessToken)).toBe(401)
  expectTokenError(await of.refresh(refreshToken))
}

const grantsOf = (client: { client_id: string }) =>
  rows(server, 'select id from oidc_grant where client_id = $1', [client.client_id])

describe('a reused refresh token (RFC 9700 §4.14.2)', () => {
  test('revokes its family, however often that was rotated, and its session', async () => {
    const first = await app.getTokens(OFFLINE, ada)
    const second = expectRefreshed(await app.refresh(first.refreshToken))
    const third = expectRefreshed(await app.refresh(second.refreshToken))
    await leaveReplayWindow()
    expectTokenError(await app.refresh(first.refreshToken))
    for (const tokens of [first, second, third]) await expectDead(tokens)
    expect((await app.authorizeSilently(ada)).get('error')).toBe('login_required')
  })

  test('keeps the other offline family of the same client, session and grant', async () => {
    const [stolen, kept] = [await app.getTokens(OFFLINE, ada), await app.getTokens(OFFLINE, ada)]
    expect(await grantsOf(app.client)).toHaveLength(1)
    await expectDead(await reuse(stolen))
    await expectAlive(kept)
    await app.getTokens(OFFLINE, new EndUser(server.issuer))
  })

  test('that ends with its session keeps the offline family beside it', async () => {
    const [stolen, kept] = [await app.getTokens({}, ada), await app.getTokens(OFFLINE, ada)]
    await expectDead(await reuse(stolen))
    await expectAlive(kept)
  })

  test('revokes other clients’ tokens of the session, and keeps their offline tokens', async () => {
    const stolen = await app.getTokens(OFFLINE, ada)
    const bound = await other.getTokens({}, ada)
    await expectDead(await reuse(stolen))
    await expectDead(bound, other)
    const again = new EndUser(server.issuer)
    const stolenAgain = await app.getTokens({}, again)
    const offline = await other.getTokens(OFFLINE, again)
    await expectDead(await reuse(stolenAgain))
    await expectAlive(offline, other)
  })

  test('keeps devices that its session approved; a reused token of a device keeps that session', async () => {
    const browser = await app.getTokens({}, ada)
    const device = async () => {
      const started = await startDevice(server, tv)
      await approveDevice(ada, started)
      return tokensOf(await pollDevice(server.url, started, tv))
    }
    const asTv = { ...app, refresh: refreshAs(tv) }
    const [stolen, kept] = [await device(), await device()]
    await expectDead(await reuse(stolen, asTv), asTv)
    await expectAlive(kept, asTv)
    const next = expectRefreshed(await app.refresh(browser.refreshToken))
    await expectDead(await reuse(next))
    expect(await userinfoStatus(server, kept.accessToken)).toBe(200)
  })

  test('keeps every other session of the person', async () => {
    const elsewhere = new EndUser(server.issuer)
    const kept = await app.getTokens({}, elsewhere)
    await expectDead(await reuse(await app.getTokens({}, ada)))
    await expectAlive(kept)
    expect((await app.authorizeSilently(elsewhere)).get('code')).toBeTruthy()
  })

  test('deletes a grant without other tokens', async () => {
    const lonely = await createTestClient(server, { client_name: 'Lonely App' })
    await expectDead(await reuse(await lonely.getTokens(OFFLINE, ada), lonely), lonely)
    expect(await grantsOf(lonely.client)).toEqual([])
  })

  test('of the previous version, without a family, revokes the whole grant', async () => {
    const [stolen, neighbour] = [await app.getTokens(OFFLINE, ada), await app.getTokens(OFFLINE, ada)]
    await sql(server, 'update oidc_token set family = null')
    await expectDead(await reuse(stolen))
    await expectDead(neighbour)
  })

  test('revokes a successor whose commit waits for the revocation', async () => {
    const first = await app.getTokens(OFFLINE, ada)
    const second = expectRefreshed(await app.refresh(first.refreshToken))
    await leaveReplayWindow()
    const { promise, resolve } = Promise.withResolvers<void>()
    faultProxy.onStatement('before', { kind: 'hold', until: promise }, {}, ({ text }) =>
      text.includes('/* token_commit */'),
    )
    const rotating = app.refresh(second.refreshToken)
    expectTokenError(await app.refresh(first.refreshToken))
    resolve()
    expectTokenError(await rotating)
    await expectDead(second)
  })

  test('revokes a successor whose commit the revocation waits for', async () => {
    const first = await app.getTokens(OFFLINE, ada)
    const kept = await app.getTokens(OFFLINE, ada)
    const second = expectRefreshed(await app.refresh(first.refreshToken))
    await leaveReplayWindow()
    const witness = new pg.Client(server.env.DATABASE_URL)
    await witness.connect()
    const waiting = async (statement: string) => {
      const { rows: found } = await witness.query(
        `select from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock' and query like '/* ' || $1 || ' */%'`,
        [statement],
      )
      expect(found).toHaveLength(1)
    }
    try {
      // Holds a commit between spending the token and storing its successor.
      await witness.query('select pg_advisory_lock(1)')
      await witness.query(
        `create function hold_up() returns trigger language plpgsql as
         $$ begin perform pg_advisory_xact_lock_shared(1); return new; end $$`,
      )
      await witness.query(
        'create trigger hold_up before insert on oidc_token for each row execute function hold_up()',
      )
      const rotating = app.refresh(second.refreshToken)
      await vi.waitFor(() => waiting('token_commit'))
      const reusing = app.refresh(first.refreshToken)
      await vi.waitFor(() => waiting('revoke_families'))
      await witness.query('select pg_advisory_unlock(1)')
      expectTokenError(await reusing)
      const third = await rotating
      expect(third.status, third.text).toBe(200)
      await expectDead(tokensOf(third))
    } finally {
      await witness.query('drop function hold_up() cascade')
      await witness.end()
    }
    await expectAlive(kept)
  })
})

describe('a code that is redeemed again after the window (RFC 6749 §4.1.2)', () => {
  test('revokes its own tokens, and no other family of the session', async () => {
    const { form, ...stolen } = await app.getTokens(OFFLINE, ada)
    const kept = await app.getTokens({}, ada)
    const next = expectRefreshed(await app.refresh(stolen.refreshToken))
    await leaveReplayWindow()
    expectTokenError(await app.token(form))
    await expectDead(stolen)
    await expectDead(next)
    await expectAlive(kept)
    expect((await app.authorizeSilently(ada)).get('code')).toBeTruthy()
  })

  test('keeps a code of the same grant that was not redeemed yet', async () => {
    const { form, ...stolen } = await app.getTokens({}, ada)
    const waiting = await app.getCode({}, ada)
    await leaveReplayWindow()
    expectTokenError(await app.token(form))
    await expectDead(stolen)
    await expectAlive(tokensOf(await app.token(waiting.form)))
  })

  test('of a device revokes its own tokens', async () => {
    const started = await startDevice(server, tv)
    await approveDevice(new EndUser(server.issuer), started)
    const tokens = tokensOf(await pollDevice(server.url, started, tv))
    await leaveReplayWindow()
    expectTokenError(await pollDevice(server.url, started, tv))
    await expectDead(tokens, { ...app, refresh: refreshAs(tv) })
  })
})

function refreshAs(as: ClientDocument): TestClient['refresh'] {
  return (refresh_token, more = {}) =>
    app.token({ grant_type: 'refresh_token', refresh_token, ...more }, { as })
}
