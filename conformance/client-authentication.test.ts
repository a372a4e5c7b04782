import { createHash, randomUUID } from 'node:crypto'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose'
import * as client from 'openid-client'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { startServer } from '../src/app/server.ts'
import { parseConfig } from '../src/config/config.ts'
import { createLog } from '../src/log.ts'
import { later } from './support/clock.ts'
import { freePort } from './support/database-server.ts'
import { isPglite, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, basic, post, statuses } from './support/http.ts'
import { CALLBACK } from './support/relying-party.ts'

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const GRANT = { grant_type: 'client_credentials' }
/** The endpoints with client authentication. */
const ENDPOINTS: [name: string, form: Record<string, string>][] = [
  ['token', GRANT],
  ['par', { response_type: 'code' }],
  ['introspect', { token: 'x' }],
  ['revoke', { token: 'x' }],
  ['device/authorize', { scope: 'openid' }],
]

type KeyPair = Awaited<ReturnType<typeof generateKeyPair>>
/** Claims to set, or with undefined to leave out. */
type Claims = { [Name in 'iss' | 'sub' | 'jti']?: string | undefined } & {
  aud?: string | string[] | undefined
} & {
  [Name in 'exp' | 'nbf']?: number | undefined
}

let server: TestServer
let service: ClientDocument
let signer: ClientDocument
let spa: ClientDocument
let rsa: KeyPair

beforeAll(async () => {
  server = await startTestServer({ OUTBOUND_ALLOWED_NETWORKS: '127.0.0.0/8' })
  rsa = await generateKeyPair('RS256', { extractable: true })
  const { clients } = server.admin
  service = await clients.create({ type: 'service', client_name: 'Tide Reader' })
  spa = await clients.create({ type: 'spa', client_name: 'Chart', redirect_uris: [CALLBACK] })
  signer = await clients.create({
    type: 'service',
    client_name: 'Signing Service',
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [await exportJWK(rsa.publicKey)] },
  })
})
afterAll(() => server?.remove())

const token = (form: Record<string, string>, options?: Parameters<typeof post>[2]) =>
  post(`${server.issuer}/token`, form, options)

function expectRefused(answer: Answer, { status = 401, error = 'invalid_client' } = {}): void {
  expect(answer).toMatchObject({ status, body: { error } })
  expect(answer.body).not.toHaveProperty('access_token')
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
  expect(answer.headers.get('cache-control')).toBe('no-store')
}

describe('a client secret', () => {
  test.for([['client_secret_basic'], ['client_secret_post']])(
    'is accepted by %s (RFC 6749 §2.3.1)',
    async ([method]) => {
      const document = await server.admin.clients.create({
        type: 'service',
        client_name: 'Either Way',
        token_endpoint_auth_method: method,
      })
      const secret = document.client_secret
      const auth =
        method === 'client_secret_post' ? client.ClientSecretPost(secret) : client.ClientSecretBasic(secret)
      const config = await client.discovery(new URL(server.issuer), document.client_id, undefined, auth, {
        execute: [client.allowInsecureRequests],
      })
      const tokens = await client.clientCredentialsGrant(config)
      expect(tokens).toMatchObject({ token_type: 'bearer', expires_in: 600 })
    },
  )

  test('that is wrong returns 401 invalid_client like an unknown client, and a Basic challenge when Basic was used (RFC 6749 §5.2)', async () => {
    const wrong = await token(GRANT, { as: { ...service, client_secret: 'wrong' } })
    const unknown = await token(GRANT, { as: { client_id: 'nobody', client_secret: 'wrong' } })
    for (const answer of [wrong, unknown]) {
      expectRefused(answer)
      expect(answer.headers.get('www-authenticate')).toMatch(/^Basic /)
    }
    expect(unknown.text).toBe(wrong.text)
    const posted = await token({ ...GRANT, client_id: service.client_id, client_secret: 'wrong' })
    expectRefused(posted)
    expect(posted.text).toBe(wrong.text)
  })

  test.for<[string, () => Parameters<typeof post>[2] & { form?: Record<string, string> }]>([
    ['sent for a public client', () => ({ as: { client_id: spa.client_id, client_secret: 'made-up' } })],
    ['missing for a confidential client', () => ({ as: { client_id: service.client_id } })],
    ['of another client', () => ({ as: { ...service, client_secret: spa.client_id } })],
    [
      'that is the hash in the database',
      () => ({ as: { ...service, client_secret: hashOf(service.client_secret) } }),
    ],
    ['for a client that signs assertions', () => ({ as: { ...signer, client_secret: 'made-up' } })],
  ])('%s returns 401 invalid_client (RFC 6749 §5.2)', async ([, options]) => {
    expectRefused(await token(GRANT, options()))
  })

  test.for<[string, () => Promise<Answer>]>([
    [
      'two ways at once',
      () => token({ ...GRANT, client_secret: service.client_secret ?? '' }, { as: service }),
    ],
    [
      'a client_id other than the one in Basic',
      () => token({ ...GRANT, client_id: spa.client_id }, { as: service }),
    ],
    ['Basic that is not base64', () => token(GRANT, { headers: { authorization: 'Basic !!!' } })],
    [
      'Basic with an encoded NUL',
      () => token(GRANT, { headers: { authorization: `Basic ${btoa('a%00b:c')}` } }),
    ],
    ['Basic with a raw NUL', () => token(GRANT, { headers: { authorization: `Basic ${btoa('a\0b:c')}` } })],
    [
      'Basic with a broken escape',
      () => token(GRANT, { headers: { authorization: `Basic ${btoa('%E0%A4%A:c')}` } }),
    ],
  ])('presented as %s returns 400 invalid_request (RFC 6749 §2.3, §5.2)', async ([, request]) => {
    expectRefused(await request(), { status: 400, error: 'invalid_request' })
  })

  test('that is missing, like the client_id, returns 401 invalid_client (RFC 6749 §5.2)', async () => {
    expectRefused(await token(GRANT))
  })

  test('is accepted after its rotation for the given overlap, and no longer (RFC 6749 §2.3.1)', async () => {
    const old = await server.admin.clients.create({ type: 'service', client_name: 'Rotating' })
    const renewed = await server.admin.clients.rotateSecret({ client_id: old.client_id, overlap_seconds: 2 })
    expect(renewed.client_secret).not.toBe(old.client_secret)
    expect((await token(GRANT, { as: old })).status).toBe(200)
    expect((await token(GRANT, { as: renewed })).status).toBe(200)
    await pause(2_100)
    expectRefused(await token(GRANT, { as: old }))
    expect((await token(GRANT, { as: renewed })).status).toBe(200)
    const last = await server.admin.clients.rotateSecret({ client_id: old.client_id })
    expectRefused(await token(GRANT, { as: renewed }))
    expect((await token(GRANT, { as: last })).status).toBe(200)
  })

  test.skipIf(isPglite)('is in no dump of the database, nor in the log (RFC 9700 §2.5)', async () => {
    await token(GRANT, { as: service })
    await token({ ...GRANT, client_id: service.client_id, client_secret: service.client_secret ?? '' })
    const secret = service.client_secret ?? ''
    expect(secret.length).toBeGreaterThanOrEqual(43)
    const dump = await server.dump()
    expect(dump).toContain(service.client_id)
    for (const form of [secret, Buffer.from(secret).toString('hex'), basic(service).slice(6)]) {
      expect(dump).not.toContain(form)
      expect(server.logged()).not.toContain(form)
    }
  })

  test('of a disabled client is rejected at the next request, and accepted when it is enabled again (RFC 6749 §5.2)', async () => {
    const { clients } = server.admin
    const document = await clients.create({ type: 'service', client_name: 'On And Off' })
    expect((await token(GRANT, { as: document })).status).toBe(200)
    await clients.update({ client_id: document.client_id, disabled: true })
    expectRefused(await token(GRANT, { as: document }))
    await clients.update({ client_id: document.client_id, disabled: false })
    expect((await token(GRANT, { as: document })).status).toBe(200)
  })
})

describe('private_key_jwt', () => {
  test('is accepted from openid-client with the issuer as audience (RFC 7523 §3)', async () => {
    const config = await client.discovery(
      new URL(server.issuer),
      signer.client_id,
      undefined,
      client.PrivateKeyJwt(rsa.privateKey),
      { execute: [client.allowInsecureRequests] },
    )
    expect(await client.clientCredentialsGrant(config)).toMatchObject({ token_type: 'bearer' })
  })

  test.for<[string, Claims]>([
    ['another audience', { aud: 'https://elsewhere.example.test/token' }],
    ['no audience', { aud: undefined }],
    ['another issuer', { iss: 'somebody-else' }],
    ['another subject', { sub: 'somebody-else' }],
    ['the subject of a client with other keys', { sub: 'SERVICE' }],
    ['an expiry in the past', { exp: epoch(-60) }],
    ['no expiry', { exp: undefined }],
    ['a start in the future', { nbf: epoch(120) }],
    ['no jti', { jti: undefined }],
    ['an hour to live', { exp: epoch(3600) }],
    ['an expiry beyond all calendars', { exp: 1e15 }],
  ])('with %s returns 401 invalid_client (RFC 7523 §3)', async ([, claims]) => {
    const sub = claims.sub === 'SERVICE' ? { sub: service.client_id } : {}
    expectRefused(await assert(await sign({ ...claims, ...sub })))
  })

  test('is accepted at each endpoint only with one audience, the issuer or the token endpoint (CVE-2025-27370)', async () => {
    const owner = await other()
    for (const [name, form] of ENDPOINTS) {
      const send = async (aud: string | string[]) =>
        post(`${server.issuer}/${name}`, {
          ...form,
          client_assertion_type: ASSERTION_TYPE,
          client_assertion: await sign({ ...owner, aud }),
        })
      // Any error but invalid_client shows that the client was authenticated.
      for (const aud of [server.issuer, `${server.issuer}/token`])
        expect((await send(aud)).body.error, name).not.toBe('invalid_client')
      expectRefused(await send([server.issuer]))
      expectRefused(await send([`${server.issuer}/token`, 'https://elsewhere.example.test']))
      if (name !== 'token') expectRefused(await send(`${server.issuer}/${name}`))
    }
  })

  test('with alg none, HS256 keyed with the public key, or another key returns 401 invalid_client (RFC 8725 §3.1)', async () => {
    const unsigned = new UnsecuredJWT(claimsOf()).encode()
    const pem = new TextEncoder().encode(await exportSPKI(rsa.publicKey))
    const confused = await new SignJWT(claimsOf()).setProtectedHeader({ alg: 'HS256' }).sign(pem)
    const stranger = await generateKeyPair('RS256')
    const forged = await sign({}, stranger)
    for (const assertion of [unsigned, confused, forged]) expectRefused(await assert(assertion))
  })

  test('is accepted once: in sequence, of twenty at once, and on another instance (RFC 7523 §3)', async () => {
    const once = await sign(await other())
    expect((await assert(once)).status).toBe(200)
    expectRefused(await assert(once))

    const raced = await sign(await other())
    const targets = [server.issuer, isPglite ? server.issuer : (await server.startAnother()).url]
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => assert(raced, targets[index % 2])),
    )
    expect(statuses(answers)).toEqual({ 200: 1, 401: 19 })
    expectRefused(await assert(raced, targets[1]))
  })

  /** A new client, because failed authentications of one client are rate-limited. */
  async function other(): Promise<Claims> {
    const { client_id } = await server.admin.clients.create({
      type: 'service',
      client_name: 'Another Signing Service',
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [await exportJWK(rsa.publicKey)] },
    })
    return { iss: client_id, sub: client_id }
  }
})

describe('keys by jwks_uri', () => {
  let host: Server
  let jwksUri: string
  let keys: string
  let fetches = 0
  let behave: ((response: ServerResponse) => void) | undefined
  let served: [status: number, headers: Record<string, string>, body: string]

  beforeAll(async () => {
    keys = JSON.stringify({ keys: [await exportJWK(rsa.publicKey)] })
    served = [200, {}, keys]
    host = createServer((_request, response) => {
      fetches++
      if (behave) return behave(response)
      const [status, headers, body] = served
      response.writeHead(status, headers).end(body)
    })
    await new Promise<void>((done) => host.listen(0, '127.0.0.1', done))
    jwksUri = `http://127.0.0.1:${(host.address() as AddressInfo).port}/jwks`
  })
  afterAll(async () => {
    host.closeAllConnections()
    await new Promise((done) => host.close(done))
  })
  beforeEach(() => {
    behave = undefined
    served = [200, {}, keys]
  })

  const register = (jwks_uri: string) =>
    server.admin.clients.create({
      type: 'service',
      client_name: 'Keys Elsewhere',
      token_endpoint_auth_method: 'private_key_jwt',
      jwks_uri,
    })

  test('are fetched from a network that the operator allowed, and cached (RFC 7591 §2)', async () => {
    const { client_id } = await register(jwksUri)
    const before = fetches
    for (let times = 0; times < 3; times++)
      expect((await assert(await sign({ iss: client_id, sub: client_id }))).status).toBe(200)
    expect(fetches - before).toBe(1)
  })

  test.for<[string, () => typeof served]>([
    ['behind a redirect', () => [302, { location: jwksUri }, '']],
    ['longer than 64 KB', () => [200, {}, keys + ' '.repeat(70_000)]],
    ['not found', () => [404, {}, keys]],
    ['no JSON', () => [200, {}, '<html>']],
  ])(
    'that are %s are fetched once and return 401 invalid_client (RFC 7591 §2, CWE-918)',
    async ([, answer]) => {
      const { client_id } = await register(`${jwksUri}?${randomUUID()}`)
      served = answer()
      const before = fetches
      expectRefused(await assert(await sign({ iss: client_id, sub: client_id })))
      expect(fetches - before).toBe(1)
    },
  )

  test('are fetched at most once a minute, however many signatures match none (CWE-770)', async () => {
    const { client_id } = await register(`${jwksUri}?${randomUUID()}`)
    const stranger = await generateKeyPair('RS256')
    const storm = async (count: number) => {
      const claims = { iss: client_id, sub: client_id }
      for (let times = 0; times < count; times++) expectRefused(await assert(await sign(claims, stranger)))
    }
    const before = fetches
    await storm(8)
    expect(fetches - before).toBe(1)
    await later(61, () => storm(4))
    expect(fetches - before).toBe(2)
  })

  test.for<[string, (response: ServerResponse) => void]>([
    ['hangs', () => {}],
    ['breaks off', (response) => void response.destroy()],
    ['never comes to an end', (response) => void response.writeHead(200).write('{"keys":[')],
    [
      'sends a gigabyte',
      (response) => {
        const more = () => response.writable && response.write('x'.repeat(50_000), more)
        more()
      },
    ],
  ])('on a host that %s are fetched once a minute, with a timeout of 2.5 s (CWE-400)', async ([, answer]) => {
    const { client_id } = await register(`${jwksUri}?${randomUUID()}`)
    behave = answer
    const before = fetches
    const startedAt = performance.now()
    for (let times = 0; times < 5; times++)
      expectRefused(await assert(await sign({ iss: client_id, sub: client_id })))
    expect(performance.now() - startedAt).toBeLessThan(4_000)
    expect(fetches - before).toBe(1)
  })

  test('stop working an hour after their removal, whatever the cache headers say (RFC 9111 §5.2)', async () => {
    const { client_id } = await register(`${jwksUri}?${randomUUID()}`)
    const headers = { 'cache-control': 'max-age=999999999', expires: new Date(4e12).toUTCString() }
    served = [200, headers, keys]
    const claims = { iss: client_id, sub: client_id }
    expect((await assert(await sign(claims))).status).toBe(200)
    const renewed = await generateKeyPair('RS256', { extractable: true })
    served = [200, headers, JSON.stringify({ keys: [await exportJWK(renewed.publicKey)] })]
    await later(61 * 60, async () => {
      expectRefused(await assert(await sign(claims)))
      expect((await assert(await sign(claims, renewed))).status).toBe(200)
    })
  })

  test('that are new are used within a minute, whatever the cache headers say', async () => {
    const { client_id } = await register(`${jwksUri}?${randomUUID()}`)
    const headers = { 'cache-control': 'max-age=999999999' }
    served = [200, headers, keys]
    const claims = { iss: client_id, sub: client_id }
    expect((await assert(await sign(claims))).status).toBe(200)
    const renewed = await generateKeyPair('RS256', { extractable: true })
    served = [200, headers, JSON.stringify({ keys: [await exportJWK(renewed.publicKey)] })]
    await later(61, async () => expect((await assert(await sign(claims, renewed))).status).toBe(200))
  })

  test('are the only URL that is fetched: no sector, request object or metadata (OIDC Registration §5)', async () => {
    for (const name of ['sector_identifier_uri', 'request_uris', 'policy_uri', 'logo_uri'])
      for (const uri of ['file:///etc/passwd', 'data:text/html,x', 'javascript:alert(1)'])
        await expect(
          server.admin.clients.create({
            type: 'service',
            client_name: 'Elsewhere',
            [name]: name === 'request_uris' ? [uri] : uri,
          }),
        ).rejects.toThrow()
  })

  test.for([
    'http://169.254.169.254/latest/meta-data',
    'https://10.0.0.1/jwks',
    'https://[::1]/jwks',
    'https://[::ffff:10.0.0.1]/jwks',
    'https://0xa000001/jwks',
    'http://8.8.8.8/jwks',
    'file:///etc/passwd',
    'data:application/json,{"keys":[]}',
    'gopher://127.0.0.1/',
    'https://user:password@keys.example.test/jwks',
  ])('at %s cannot be registered (CWE-918)', async (uri) => {
    await expect(register(uri)).rejects.toThrow('jwks_uri')
  })

  // Needs a second instance with another setting on the same database.
  test.skipIf(isPglite)('in a private network are not connected to unless allowed (CWE-918)', async () => {
    const { client_id } = await register(jwksUri)
    const port = await freePort()
    const guarded = await startServer(
      parseConfig({ ...server.env, PORT: String(port), OUTBOUND_ALLOWED_NETWORKS: '' }),
      { log: createLog({ level: 'silent', format: 'json' }) },
    )
    try {
      const before = fetches
      expectRefused(await assert(await sign({ iss: client_id, sub: client_id }), guarded.url))
      expect(fetches).toBe(before)
      await expect(
        guarded.admin.clients.create({
          type: 'service',
          client_name: 'Inside',
          token_endpoint_auth_method: 'private_key_jwt',
          jwks_uri: jwksUri,
        }),
      ).rejects.toThrow('jwks_uri')
    } finally {
      await guarded.stop()
    }
  })
})

function epoch(secondsFromNow: number): number {
  return Math.floor(Date.now() / 1000) + secondsFromNow
}

function claimsOf(claims: Claims = {}): JWTPayload {
  const { client_id } = signer
  const all = {
    iss: client_id,
    sub: client_id,
    aud: server.issuer,
    jti: randomUUID(),
    iat: epoch(0),
    exp: epoch(60),
    ...claims,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

function sign(claims: Claims = {}, { privateKey } = rsa): Promise<string> {
  return new SignJWT(claimsOf(claims)).setProtectedHeader({ alg: 'RS256' }).sign(privateKey)
}

function assert(assertion: string, target = server.issuer): Promise<Answer> {
  return post(`${target}/token`, {
    ...GRANT,
    client_assertion_type: ASSERTION_TYPE,
    client_assertion: assertion,
  })
}

function hashOf(secret = ''): string {
  return createHash('sha256').update(secret).digest('base64url')
}
