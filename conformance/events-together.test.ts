import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { fromNewNetwork } from './support/client-network.ts'
import { cloneBrowser, createTestClient, type TestClient } from './support/code-flow.ts'
import { startDevice } from './support/device-flow.ts'
import { EndUser } from './support/end-user.ts'
import { atEveryStatement } from './support/fault-injection.ts'
import { type Fault, FaultProxy, type Point } from './support/fault-proxy.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { exchange, posting, rows } from './support/http.ts'

const FAULTS: readonly { name: string; point: Point; fault: Fault }[] = [
  { name: 'a full disk at', point: 'before', fault: { kind: 'error', sqlState: '53100' } },
  { name: 'a connection lost behind', point: 'after', fault: { kind: 'drop' } },
]

type Change = Readonly<{
  /** Makes the change through the server whose database fails. */
  act: () => Promise<unknown>
  /** SQL that counts the change: 1 or 0. */
  done: string
  /** The event of the change. */
  type: string
  /** SQL that finds its events. */
  about: string
  values: readonly unknown[]
}>

// One server prepares everything without faults; the other reaches its database through the fault proxy.
describe('a change and its audit event are committed together', () => {
  let server: TestServer
  let faultProxy: FaultProxy
  let other: Awaited<ReturnType<TestServer['startAnother']>>
  let app: TestClient
  let third: TestClient
  let tv: ClientDocument

  beforeAll(async () => {
    server = await startTestServer({ TRUSTED_PROXIES: '127.0.0.1,::1' })
    const database = new URL(server.env.DATABASE_URL ?? '')
    faultProxy = new FaultProxy({ host: database.hostname, port: Number(database.port) })
    database.port = String(await faultProxy.open())
    other = await server.startAnother({ DATABASE_URL: database.href })
    app = await createTestClient(server, { first_party: true })
    third = await createTestClient(server)
    tv = await server.admin.clients.create({ type: 'device', client_name: 'Bridge TV' })
    // Until the first change notification arrives, a server caches rows for half a second only.
    await pause(1_500)
  })
  afterAll(async () => {
    await server?.remove()
    faultProxy?.close()
  })

  const count = async (from: string, values: readonly unknown[]) => {
    const [row] = await rows<{ count: number }>(server, `select count(*)::int as count from ${from}`, [
      ...values,
    ])
    return row?.count ?? 0
  }
  async function newPerson() {
    const username = `ada-${randomUUID()}`
    const { sub } = await server.admin.users.create({ username, password: PASSWORD })
    return { username, sub }
  }
  function newBrowser() {
    const user = new EndUser(server.issuer)
    user.headers = fromNewNetwork()
    return user
  }
  async function signedIn() {
    const { username, sub } = await newPerson()
    const user = newBrowser()
    await app.getCode({}, user, username)
    return { username, sub, user }
  }
  const ofAccount = `account_sub = $1`
  const ofClient = `client_id = $1`

  const changes: Record<string, () => Promise<Change>> = {
    async 'client.created'() {
      const client_id = `robot-${randomUUID()}`
      const input = { type: 'service', client_name: 'Robot', client_id }
      return {
        act: () => other.admin.clients.create(input),
        done: 'oidc_client where client_id = $1',
        type: 'client.created',
        about: ofClient,
        values: [client_id],
      }
    },
    async 'client.updated'() {
      const { client_id } = await server.admin.clients.create({ type: 'service', client_name: 'Robot' })
      return {
        act: () => other.admin.clients.update({ client_id, client_name: 'Changed' }),
        done: `oidc_client where client_id = $1 and metadata ->> 'client_name' = 'Changed'`,
        type: 'client.updated',
        about: ofClient,
        values: [client_id],
      }
    },
    async 'client.secret_rotated'() {
      const { client_id } = await server.admin.clients.create({ type: 'service', client_name: 'Robot' })
      return {
        act: () => other.admin.clients.rotateSecret({ client_id, overlap_seconds: 60 }),
        done: 'oidc_client where client_id = $1 and previous_secret_hash is not null',
        type: 'client.secret_rotated',
        about: ofClient,
        values: [client_id],
      }
    },
    async 'client.deleted'() {
      const { client_id } = await server.admin.clients.create({ type: 'service', client_name: 'Robot' })
      return {
        act: () => other.admin.clients.delete({ client_id }),
        done: '(select 1 where not exists (select from oidc_client where client_id = $1)) as gone',
        type: 'client.deleted',
        about: ofClient,
        values: [client_id],
      }
    },
    async 'account.created'() {
      const username = `grace-${randomUUID()}`
      return {
        act: () => other.admin.users.create({ username, password: PASSWORD }),
        done: 'account where username = $1',
        type: 'account.created',
        about: 'account_sub in (select sub from account where username = $1)',
        values: [username],
      }
    },
    async 'account.disabled'() {
      const { username, sub } = await newPerson()
      return {
        act: () => other.admin.users.disable({ username }),
        done: `account where sub = $1 and status = 'disabled'`,
        type: 'account.disabled',
        about: ofAccount,
        values: [sub],
      }
    },
    async 'consent.given'() {
      const { sub, user } = await signedIn()
      const page = await user.open((await third.request({ scope: 'openid email' })).url)
      const at = cloneBrowser(user, other.url)
      return {
        act: () => at.submit(page, {}, 'approve'),
        done: 'consent where account_sub = $1',
        type: 'consent.given',
        about: ofAccount,
        values: [sub],
      }
    },
    async 'device.approved'() {
      const { sub, page, at } = await deviceOf()
      return {
        async act() {
          const consent = await at.submit(page, {}, 'approve')
          await at.submit(consent, {}, 'approve')
        },
        done: `oidc_token where kind = 5 and payload ->> 'accountId' = $1::text and payload ->> 'grantId' is not null and not payload ? 'error'`,
        type: 'device.approved',
        about: 'account_sub = $1::uuid',
        values: [sub],
      }
    },
    async 'device.denied'() {
      const { sub, deviceCode, page, at } = await deviceOf()
      return {
        act: () => at.submit(page, {}, 'deny'),
        done: `oidc_token where id_hash = sha256($1::text::bytea) and payload ? 'error' and $2::uuid is not null`,
        type: 'device.denied',
        about: 'account_sub = $2 and $1::text is not null',
        values: [deviceCode, sub],
      }
    },
    async 'session.created'() {
      const { username, sub } = await newPerson()
      const user = newBrowser()
      const page = await user.open((await app.request()).url)
      const at = cloneBrowser(user, other.url)
      return {
        act: () => at.submit(page, { username, password: PASSWORD }),
        done: '(select distinct uid from oidc_session where account_sub = $1) as session',
        type: 'session.created',
        about: ofAccount,
        values: [sub],
      }
    },
    async 'browser.remembered'() {
      const { username, sub } = await newPerson()
      const user = newBrowser()
      const page = await user.open((await app.request()).url)
      const at = cloneBrowser(user, other.url)
      return {
        act: () => at.submit(page, { username, password: PASSWORD, remember: 'yes' }),
        done: 'remembered_browser where account_sub = $1',
        type: 'browser.remembered',
        about: ofAccount,
        values: [sub],
      }
    },
    async 'session.ended'() {
      const { sub, user } = await signedIn()
      const page = await user.open('/logout')
      const at = cloneBrowser(user, other.url)
      return {
        act: () => at.submit(page, {}, 'approve'),
        done: `(select 1 where not exists (select from oidc_session where account_sub = $1 and ended_at is null)) as ended`,
        type: 'session.ended',
        about: ofAccount,
        values: [sub],
      }
    },
    async 'token.issued'() {
      const { username, sub } = await newPerson()
      const { form } = await app.getCode({}, newBrowser(), username)
      return {
        act: () => exchange(`${other.url}/token`, posting(form, { as: app.client })),
        done: `oidc_token where kind = 3 and payload ->> 'accountId' = $1::text`,
        type: 'token.issued',
        about: 'account_sub = $1::uuid',
        values: [sub],
      }
    },
    async 'token.rotated'() {
      const { username, sub } = await newPerson()
      const { refreshToken } = await app.getTokens({}, newBrowser(), username)
      const form = { grant_type: 'refresh_token', refresh_token: refreshToken }
      return {
        act: () => exchange(`${other.url}/token`, posting(form, { as: app.client })),
        done: `oidc_token where kind = 3 and payload ->> 'accountId' = $1::text and consumed_at is not null`,
        type: 'token.rotated',
        about: 'account_sub = $1::uuid',
        values: [sub],
      }
    },
    async 'token.revoked'() {
      const { username, sub } = await newPerson()
      const { refreshToken } = await app.getTokens({}, newBrowser(), username)
      return {
        act: () => exchange(`${other.url}/revoke`, posting({ token: refreshToken }, { as: app.client })),
        done: `(select 1 where not exists (select from oidc_token where payload ->> 'accountId' = $1::text)) as gone`,
        type: 'token.revoked',
        about: 'account_sub = $1::uuid',
        values: [sub],
      }
    },
  }

  async function deviceOf() {
    const { sub, user } = await signedIn()
    const started = await startDevice(server, tv, { scope: 'openid' }, fromNewNetwork())
    const page = await user.submit(await user.open(started.verification_uri_complete))
    return { sub, deviceCode: started.device_code, page, at: cloneBrowser(user, other.url) }
  }

  describe.for(FAULTS)('with $name any of its statements', ({ point, fault }) => {
    test.for(Object.keys(changes))('%s (ASVS 16.2.1)', async (name) => {
      let happened = 0
      const { statements, violations } = await atEveryStatement(
        { faultProxy, point, fault },
        async (withFault) => {
          const prepare = changes[name]
          if (!prepare) throw new Error(`nothing is called ${name}`)
          const { act, done, type, about, values } = await prepare()
          await withFault(act)
          const isDone = await count(done, values)
          const recorded = await count(`event where type = '${type}' and ${about}`, values)
          if (isDone > 0) happened++
          return isDone === recorded ? [] : [`done ${isDone} times, recorded ${recorded} times`]
        },
      )
      expect(violations).toEqual([])
      // The fault must prevent the change at some statement, and a run without a fault must make it.
      expect(happened).toBeGreaterThan(0)
      expect(statements).toBeGreaterThan(0)
      if (point === 'before') expect(happened).toBeLessThanOrEqual(statements)
    })
  })
})
