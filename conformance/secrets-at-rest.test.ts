import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestClient, expectTokenError, type TestClient, tokensOf } from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { post, send } from './support/http.ts'

let server: TestServer
let app: TestClient
/** Every secret that was sent over HTTP. */
const secrets = new Map<string, string>()

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  app = await createTestClient(server, { client_name: 'Harbour Dashboard' })
  const service = await server.admin.clients.create({ type: 'service', client_name: 'Tide Reader' })

  const ada = new EndUser(server.issuer)
  const login = await ada.open((await app.request()).url)
  secrets.set('interaction cookie', cookieOf(ada, login.url, 'sallyport_interaction'))
  secrets.set('interaction in the path', login.url.split('/').at(-1) ?? '')
  // A rejected password is as secret as the right one: it often differs by one typing error.
  await ada.submit(login, { username: 'ada', password: `${PASSWORD} mistyped` })
  const scope = { scope: 'openid profile offline_access', prompt: 'consent' }
  const { form, code, request, ...first } = await app.getTokens(scope, ada)
  const second = tokensOf(await app.refresh(first.refreshToken))
  expectTokenError(await app.token(form))
  await app.token(
    { ...form, code_verifier: 'w'.repeat(43) },
    { as: { ...app.client, client_secret: 'wrong-secret-of-an-app' } },
  )
  await send(`${server.issuer}/userinfo`, { headers: { authorization: `Bearer ${second.accessToken}` } })
  await post(`${server.issuer}/introspect`, { token: second.accessToken }, { as: app.client })
  const { body } = await post(`${server.issuer}/token`, { grant_type: 'client_credentials' }, { as: service })

  const pending = await app.getCode({}, ada)
  await ada.open('/logout')
  for (const [name, value] of Object.entries({
    password: PASSWORD,
    'mistyped password': `${PASSWORD} mistyped`,
    'client secret': app.client.client_secret,
    'wrong client secret': 'wrong-secret-of-an-app',
    'service secret': service.client_secret,
    'redeemed code': code,
    'code not redeemed yet': pending.code,
    'code verifier': request.verifier,
    'access token': first.accessToken,
    'second access token': second.accessToken,
    'service access token': body.access_token,
    'spent refresh token': first.refreshToken,
    'refresh token': second.refreshToken,
    'session cookie': ada.cookie('sallyport_session'),
  })) {
    expect(value, name).toEqual(expect.any(String))
    expect(String(value).length, name).toBeGreaterThan(20)
    secrets.set(name, String(value))
  }
})
afterAll(() => server?.remove())

function cookieOf(user: EndUser, url: string, name: string): string {
  return user.jar.getCookiesSync(url).find(({ key }) => key === name)?.value ?? ''
}

/** The encodings in which text may contain bytes. */
function disguisesOf(secret: string): string[] {
  const bytes = [
    Buffer.from(secret),
    ...(/^[\w-]{20,}$/.test(secret) ? [Buffer.from(secret, 'base64url')] : []),
  ]
  return [
    secret,
    encodeURIComponent(secret),
    new URLSearchParams([['', secret]]).toString().slice(1),
    [...secret].reverse().join(''),
    ...bytes.flatMap((raw) => [
      raw.toString('hex'),
      raw.toString('base64').replace(/=+$/, ''),
      raw.toString('base64url'),
    ]),
  ]
}

function expectNoSecretIn(text: string): void {
  const found = [...secrets].filter(([, secret]) =>
    disguisesOf(secret).some((disguise) => text.includes(disguise)),
  )
  expect(found.map(([name]) => name)).toEqual([])
}

/** Everything in a stolen database: every value of every table, or the files of the embedded database. */
async function readStored(): Promise<string> {
  if (!isPglite) return await server.dump()
  const folder = server.env.DATA_DIR ?? ''
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const contents = await Promise.all(
    files.map(({ parentPath, name }) => readFile(join(parentPath, name), 'latin1')),
  )
  return contents.join('\n')
}

describe('a run of sign-in, codes, tokens and sign-out', () => {
  test('leaves no secret in the database (ASVS 11.4.1)', async () => {
    const stored = await readStored()
    // The rows are there, by hash.
    for (const name of ['redeemed code', 'refresh token', 'session cookie', 'service secret']) {
      const hash = createHash('sha256').update(secrets.get(name) ?? '')
      expect(stored.includes(hash.digest().toString(isPglite ? 'latin1' : 'hex')), name).toBe(true)
    }
    expect(stored.includes('$argon2id$')).toBe(true)
    expectNoSecretIn(stored)
  })

  test('leaves no secret in the log (ASVS 16.2.5)', () => {
    const log = server.logged()
    for (const event of ['request', 'sign_in', 'grant.success', 'grant.error', 'interaction.started'])
      expect(log).toContain(`"event":"${event}"`)
    expectNoSecretIn(log)
  })

  test('is searched for secrets in every encoding', () => {
    for (const [name, secret] of secrets)
      for (const disguise of disguisesOf(secret))
        expect(() => expectNoSecretIn(`x${disguise}x`), name).toThrow()
    expectNoSecretIn('nothing of interest')
  })
})
