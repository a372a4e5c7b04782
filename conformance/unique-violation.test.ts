import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { createTestClient, type TestClient } from './support/code-flow.ts'
import { enterCode, startDevice } from './support/device-flow.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { FaultProxy, type Statement } from './support/fault-proxy.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, exchange, posting } from './support/http.ts'
import { type MailServer, startMailServer } from './support/mailbox.ts'

/** An upper bound of the inserts of a request. */
const MOST_INSERTS = 12
const UNIQUE_VIOLATION = { kind: 'error', sqlState: '23505' } as const

let server: TestServer
let mail: MailServer
let faultProxy: FaultProxy
let app: TestClient
let tv: ClientDocument
let signer: ClientDocument
let key: Awaited<ReturnType<typeof generateKeyPair>>['privateKey']
let count = 0

beforeAll(async () => {
  mail = await startMailServer()
  const settings = { SMTP_URL: mail.url, SELF_REGISTRATION: 'on', TRUSTED_PROXIES: '127.0.0.1' }
  server = await startTestServer(settings, async (url) => {
    const database = new URL(url)
    faultProxy = new FaultProxy({ host: database.hostname, port: Number(database.port) })
    database.port = String(await faultProxy.open())
    return database.href
  })
  app = await createTestClient(server)
  tv = await server.admin.clients.create({ type: 'device', client_name: 'Bridge TV' })
  const pair = await generateKeyPair('ES256')
  key = pair.privateKey
  signer = await server.admin.clients.create({
    type: 'service',
    client_name: 'Signing Service',
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [await exportJWK(pair.publicKey)] },
  })
})
afterAll(async () => {
  await server?.remove()
  await mail?.close()
  faultProxy?.close()
})

type Outcome = Pick<Answer, 'status' | 'headers'> & { text: string; leftTo?: URL | undefined }
/** Prepares a request, and returns a function that sends it. */
type Prepare = () => Promise<() => Promise<Outcome>>

const pageOf = ({ html, ...page }: Page): Outcome => ({ ...page, text: html })
const call = async (path: string, form: Record<string, string>, as?: ClientDocument) =>
  await exchange(`${server.issuer}${path}`, posting(form, { as }))

function newUser(): EndUser {
  const user = new EndUser(server.issuer)
  count++
  user.headers['x-forwarded-for'] = `10.1.${count >> 8}.${count & 255}`
  return user
}

async function newPerson(): Promise<{ user: EndUser; username: string; email: string }> {
  const user = newUser()
  const username = `ada${count}`
  const email = `${username}@example.test`
  await server.admin.users.create({ username, email, password: PASSWORD })
  return { user, username, email }
}

async function signedIn(fields: Record<string, string> = {}) {
  const person = await newPerson()
  await person.user.submit(await person.user.open('/account'), {
    username: person.username,
    password: PASSWORD,
    ...fields,
  })
  return person
}

const linkTo = async (to: string): Promise<string> => (await mail.expect(to)).at(-1)?.link ?? ''

const REQUESTS: [name: string, prepare: Prepare][] = [
  [
    'an authorization request',
    async () => {
      const [user, { url }] = [newUser(), await app.request()]
      return async () => pageOf(await user.open(url))
    },
  ],
  [
    'a sign-in that is remembered',
    async () => {
      const { user, username } = await newPerson()
      const page = await user.open((await app.request()).url)
      return async () => pageOf(await user.submit(page, { username, password: PASSWORD, remember: 'on' }))
    },
  ],
  [
    'a consent, up to the code',
    async () => {
      const { user, username } = await newPerson()
      const page = await user.submit(await user.open((await app.request()).url), {
        username,
        password: PASSWORD,
      })
      return async () => pageOf(await user.submit(page, {}, 'approve'))
    },
  ],
  [
    'the redemption of a code',
    async () => {
      const { user, username } = await newPerson()
      const { form } = await app.getCode(
        { scope: 'openid offline_access', prompt: 'consent' },
        user,
        username,
      )
      return () => call('/token', form, app.client as ClientDocument)
    },
  ],
  [
    'a refresh',
    async () => {
      const { user, username } = await newPerson()
      const { refreshToken } = await app.getTokens({}, user, username)
      const form = { grant_type: 'refresh_token', refresh_token: refreshToken }
      return () => call('/token', form, app.client as ClientDocument)
    },
  ],
  [
    'a pushed request',
    async () => {
      const { searchParams } = (await app.request()).url
      return () => call('/par', Object.fromEntries(searchParams), app.client as ClientDocument)
    },
  ],
  ['a device', async () => () => call('/device/authorize', { scope: 'openid' }, tv)],
  [
    'a device that a person takes up',
    async () => {
      const [{ user }, started] = [await signedIn(), await startDevice(server, tv, { scope: 'openid' })]
      const page = await enterCode(user, started)
      return async () => pageOf(await user.submit(page, {}, 'approve'))
    },
  ],
  [
    'a client assertion',
    async () => {
      const assertion = await new SignJWT({ jti: crypto.randomUUID() })
        .setProtectedHeader({ alg: 'ES256' })
        .setIssuer(signer.client_id)
        .setSubject(signer.client_id)
        .setAudience(server.issuer)
        .setExpirationTime('1m')
        .sign(key)
      const form = {
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      }
      return () => call('/token', form)
    },
  ],
  [
    'a sign-in to the account page',
    async () => {
      const { user, username } = await newPerson()
      const page = await user.open('/account')
      return async () => pageOf(await user.submit(page, { username, password: PASSWORD }))
    },
  ],
  [
    'a remembered browser',
    async () => {
      const { user } = await signedIn({ remember: 'on' })
      for (const name of ['sallyport_session', 'sallyport_session.sig'])
        user.jar.setCookieSync(`${name}=; Path=/; Max-Age=0`, user.origin)
      return async () => pageOf(await user.open('/account'))
    },
  ],
  [
    'signing out everywhere',
    async () => {
      const { user } = await signedIn()
      const page = await user.open('/account')
      const csrf = page.$('input[name=csrf]').attr('value') ?? ''
      return async () =>
        pageOf(await user.post('/account/sign-out-everywhere', new URLSearchParams({ csrf })))
    },
  ],
  [
    'a new address',
    async () => {
      const { user, email } = await signedIn()
      const page = await user.open('/account/email')
      return async () => pageOf(await user.submit(page, { email: `new-${email}` }))
    },
  ],
  [
    'the confirmation of an address',
    async () => {
      const { user, email } = await signedIn()
      await user.submit(await user.open('/account/email'), { email: `new-${email}` })
      const page = await user.open(await linkTo(`new-${email}`))
      return async () => pageOf(await user.submit(page))
    },
  ],
  [
    'a forgotten password',
    async () => {
      const { user, username } = await newPerson()
      const page = await user.open('/account/reset')
      return async () => pageOf(await user.submit(page, { username }))
    },
  ],
  [
    'a reset password',
    async () => {
      const { user, username, email } = await newPerson()
      await user.submit(await user.open('/account/reset'), { username })
      const page = await user.open(await linkTo(email))
      const fields = { new_password: 'quite another, longer passphrase' }
      return async () => pageOf(await user.submit(page, fields))
    },
  ],
  [
    'a registration',
    async () => {
      const user = newUser()
      const page = await user.open('/account/register')
      const fields = { email: `eve${count}@example.test`, username: `eve${count}` }
      return async () =>
        pageOf(await user.submit(page, { ...fields, new_password: 'quite another, longer passphrase' }))
    },
  ],
]

/** Every insert except that of an account: a taken username or address has its own answer. */
const isInsert = ({ text }: Statement) =>
  /\binsert into\b/i.test(text) && !/insert into "account"/i.test(text)

describe('a unique violation at any insert', () => {
  test.for(REQUESTS)(
    'of %s returns 503 with Retry-After or is retried, and never returns 500',
    async ([name, prepare]) => {
      let affected = 0
      for (let nth = 1; nth <= MOST_INSERTS; nth++) {
        const act = await prepare()
        const injected = faultProxy.onStatement('before', UNIQUE_VIOLATION, { nth }, isInsert)
        const { status, headers, text, leftTo } = await act()
        injected.disarm()
        const [statement] = injected.affected()
        if (statement === undefined) break
        affected++
        const where = `${name}, ${statement.slice(0, 80)}: ${text.slice(0, 300)}`
        if (leftTo) {
          expect([null, 'temporarily_unavailable'], where).toContain(leftTo.searchParams.get('error'))
          continue
        }
        expect(status === 503 || status < 400, `${status}: ${where}`).toBe(true)
        if (status === 503) expect(Number(headers.get('retry-after')), where).toBeGreaterThan(0)
      }
      expect(affected, name).toBeGreaterThan(0)
    },
  )
})
