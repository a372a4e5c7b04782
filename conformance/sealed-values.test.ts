import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createVault } from '../src/crypto/vault.ts'
import { cloneBrowser, createTestClient, expectTokenError, type TestClient } from './support/code-flow.ts'
import { enterCode, startDevice } from './support/device-flow.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post, rows, send, sql } from './support/http.ts'
import { sealLegacy } from './support/legacy-seal.ts'
import { type MailServer, startMailServer } from './support/mailbox.ts'

/** An attacker with write access to the database moves sealed values between rows. */
let server: TestServer
let mail: MailServer
let app: TestClient

beforeAll(async () => {
  mail = await startMailServer()
  server = await startTestServer({ SMTP_URL: mail.url })
  for (const username of ['ada', 'bob'])
    await server.admin.users.create({ username, email: `${username}@example.test`, password: PASSWORD })
  app = await createTestClient(server, { first_party: true })
})
afterAll(async () => {
  await server?.remove()
  await mail?.close()
})

const sha256 = (value: string) => createHash('sha256').update(value).digest()

/** Swaps the sealed values of two rows. */
async function swap(place: string, key: string, ids: readonly [unknown, unknown]): Promise<void> {
  const [table, column] = place.split('.') as [string, string]
  const values = await rows<{ key: unknown; value: unknown }>(
    server,
    `select ${key} as key, ${column} as value from ${table} where ${key} = $1 or ${key} = $2`,
    [...ids],
  )
  const [one, two] = values
  expect(values, `rows of ${table}`).toHaveLength(2)
  await sql(server, `update ${table} set ${column} = $2 where ${key} = $1`, [one?.key, two?.value])
  await sql(server, `update ${table} set ${column} = $2 where ${key} = $1`, [two?.key, one?.value])
}

const newUser = () => new EndUser(server.issuer)

async function signIn(username: string, fields: Record<string, string> = {}): Promise<EndUser> {
  const user = newUser()
  await user.submit(await user.open('/account'), { username, password: PASSWORD, ...fields })
  return user
}

describe('a sealed value moved to another row', () => {
  test('of an interaction restarts the request', async () => {
    const [one, two] = [newUser(), newUser()]
    const first = await one.open((await app.request({ state: 'first' })).url)
    const second = await two.open((await app.request({ state: 'second' })).url)
    const idOf = ({ url }: { url: string }) => sha256(url.split('/').at(-1) ?? '')
    await swap('oidc_artifact.sealed_payload', 'id_hash', [idOf(first), idOf(second)])
    const again = await one.open(first.url)
    expect(again.url).not.toBe(first.url)
    const { leftTo } = await one.submit(again, { username: 'ada', password: PASSWORD })
    expect(leftTo?.searchParams.get('state')).toBe('first')
  })

  test('of a pushed request is rejected (RFC 9126 §4)', async () => {
    const push = async (state: string) => {
      const { searchParams } = (await app.request({ state })).url
      const answer = await post(`${server.url}/par`, searchParams, { as: app.client })
      return String(answer.body.request_uri)
    }
    const [first, second] = [await push('first'), await push('second')]
    const idOf = (uri: string) => sha256(uri.split(':').at(-1) ?? '')
    await swap('oidc_artifact.sealed_payload', 'id_hash', [idOf(first), idOf(second)])
    const query = new URLSearchParams({ client_id: app.client.client_id, request_uri: first })
    const answer = await send(`${server.url}/authorize?${query}`)
    expect(answer.status).toBe(400)
    expect(answer.text).toContain('request_uri')
  })

  test('of a device code is rejected', async () => {
    const tv = await server.admin.clients.create({ type: 'device', client_name: 'Bridge TV' })
    const [first, second] = [await startDevice(server, tv), await startDevice(server, tv)]
    await swap('oidc_token.sealed_id', 'id_hash', [sha256(first.device_code), sha256(second.device_code)])
    const page = await enterCode(newUser(), first)
    expect(page.status).toBe(400)
    expect(page.$('[role=alert]').text()).toContain('do not know that code')
  })

  test('of a refresh response is not replayed', async () => {
    const offline = { scope: 'openid offline_access' }
    const [first, second] = [await app.getTokens(offline), await app.getTokens(offline, newUser(), 'bob')]
    for (const { refreshToken } of [first, second]) expect((await app.refresh(refreshToken)).status).toBe(200)
    const ids = [sha256(first.refreshToken), sha256(second.refreshToken)] as const
    await swap('oidc_refresh_answer.sealed_answer', 'id_hash', ids)
    expectTokenError(await app.refresh(first.refreshToken))
  })

  test('of a session does not open, and its form is rejected', async () => {
    const [one, two] = [await signIn('ada'), await signIn('bob')]
    const page = await one.open('/logout')
    const xsrf = (await two.open('/logout')).$('input[name=xsrf]').attr('value') ?? ''
    const ids = [one, two].map((user) => sha256(user.cookie('sallyport_session') ?? ''))
    const states = await rows<{ state: string; id_hash: Buffer }>(
      server,
      `select id_hash, payload ->> 'state' as state from oidc_session where id_hash = any($1)`,
      [ids],
    )
    expect(states).toHaveLength(2)
    for (const [index, { id_hash }] of states.entries())
      await sql(
        server,
        `update oidc_session set payload = payload || jsonb_build_object('state', $2::text) where id_hash = $1`,
        [id_hash, states[1 - index]?.state],
      )
    const answer = await one.submit(page, { xsrf }, 'approve')
    expect(answer.status).toBeLessThan(500)
    expect((await one.open('/account')).$('h1').text()).toBe('Your account')
  })

  test('of a remembered browser does not sign in', async () => {
    const [one, two] = [await signIn('ada', { remember: 'yes' }), await signIn('bob', { remember: 'yes' })]
    const before = [one, two].map((user) => cloneBrowser(user))
    for (const user of [one, two, ...before])
      for (const key of ['sallyport_session', 'sallyport_session.sig'])
        user.jar.setCookieSync(`${key}=; Path=/; Max-Age=0`, user.origin)
    for (const user of [one, two]) expect((await user.open('/account')).$('h1').text()).toBe('Your account')
    const ids = [one, two].map((user) => (user.cookie('sallyport_remember') ?? '').split('.')[0])
    await swap('remembered_browser.sealed_secret', 'id', [ids[0], ids[1]])
    const page = await before[0]?.open('/account')
    expect(page?.status).toBe(200)
    expect(page?.$('h1').text()).toBe('Sign in')
  })

  test('of a mailed link invalidates the link', async () => {
    const links = []
    for (const username of ['ada', 'bob']) {
      const user = newUser()
      await user.submit(await user.open('/account/reset'), { username })
      links.push((await mail.expect(`${username}@example.test`)).at(-1)?.link ?? '')
    }
    const hashes = links.map((link) => sha256(link.split('/').at(-1) ?? ''))
    await swap('mail_link.sealed_request', 'secret_hash', [hashes[0], hashes[1]])
    expect((await newUser().open(links[0] ?? '')).status).toBe(400)
  })

  test('of a mailed link does not open after its row’s account was changed', async () => {
    const user = newUser()
    await user.submit(await user.open('/account/reset'), { username: 'bob' })
    const link = (await mail.expect('bob@example.test', 2)).at(-1)?.link ?? ''
    const { sub } = await server.admin.users.show({ username: 'ada' })
    const hash = sha256(link.split('/').at(-1) ?? '')
    await sql(server, 'update mail_link set account_sub = $2 where secret_hash = $1', [hash, sub])
    expect((await newUser().open(link)).status).toBe(400)
  })
})

describe('signing keys', () => {
  test('swapped between rows stop the start with a message', async () => {
    const keys = await rows<{ kid: string }>(server, 'select kid from signing_key order by kid limit 2')
    const ids = [keys[0]?.kid, keys[1]?.kid] as const
    await swap('signing_key.sealed_private_jwk', 'kid', ids)
    try {
      await expect(server.startAnother()).rejects.toThrow(/signing key was altered/)
    } finally {
      await swap('signing_key.sealed_private_jwk', 'kid', ids)
    }
  })

  test('sealed by the previous version open in their own rows only', async () => {
    const masterKey = Buffer.from(server.env.ENCRYPTION_KEY ?? '', 'base64')
    const vault = createVault([masterKey])
    const keys = await rows<{ kid: string; sealed: Buffer }>(
      server,
      'select kid, sealed_private_jwk as sealed from signing_key order by kid',
    )
    for (const { kid, sealed } of keys) {
      const unbound = sealLegacy(masterKey, vault.open(sealed, 'signing key', [kid]), 'signing key')
      await sql(server, 'update signing_key set sealed_private_jwk = $2 where kid = $1', [kid, unbound])
    }
    const other = await server.startAnother()
    const jwks = await Promise.all([server, other].map(({ url }) => send(`${url}/jwks`)))
    expect(jwks[1]?.text).toBe(jwks[0]?.text)
    await swap('signing_key.sealed_private_jwk', 'kid', [keys[0]?.kid, keys[1]?.kid])
    await expect(server.startAnother()).rejects.toThrow(/signing key was altered/)
  })
})
