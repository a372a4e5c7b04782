import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import * as client from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, type Form, post } from './support/http.ts'
import { CALLBACK, createRelyingParty, type RelyingParty } from './support/relying-party.ts'

const GRANT = { grant_type: 'client_credentials' }
const SIGNED = {
  RS256: 'https://rs256.api.example.test/v1',
  ES256: 'https://es256.api.example.test',
  EdDSA: 'urn:example:eddsa-api',
}
const OPAQUE = 'https://opaque.api.example.test/'
const FOREIGN = 'https://foreign.api.example.test'

let server: TestServer
let service: ClientDocument
let limited: ClientDocument
let app: RelyingParty

beforeAll(async () => {
  server = await startTestServer()
  const { clients, resources } = server.admin
  for (const [signing_alg, identifier] of Object.entries(SIGNED)) {
    await resources.create({ identifier, scope: 'tides:read tides:write', format: 'jwt', signing_alg })
  }
  await resources.create({
    identifier: OPAQUE,
    scope: 'berths:read',
    format: 'opaque',
    access_token_seconds: 120,
  })
  await resources.create({ identifier: FOREIGN, scope: 'foreign:read', format: 'jwt' })
  const own = [...Object.values(SIGNED), OPAQUE]
  service = await clients.create({ type: 'service', client_name: 'Harbour Bot', resources: own })
  limited = await clients.create({
    type: 'service',
    client_name: 'Tide Reader',
    resources: own,
    scope: 'tides:read',
  })
  app = await createRelyingParty(server.issuer, service)
})
afterAll(() => server?.remove())

function token(form: Form = {}, as: ClientDocument = service): Promise<Answer> {
  return post(`${server.issuer}/token`, [...Object.entries(GRANT), ...new URLSearchParams(form as string)], {
    as,
  })
}

function expectError(answer: Answer, error: string, status = 400): void {
  expect(answer).toMatchObject({ status, body: { error } })
  expect(answer.body).not.toHaveProperty('access_token')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
}

describe('client credentials', () => {
  test.for(Object.entries(SIGNED))(
    'return a JWT for an %s resource (RFC 9068 §2)',
    async ([alg, resource]) => {
      const requestedAt = Math.floor(Date.now() / 1000)
      const tokens = await client.clientCredentialsGrant(app.config, { resource, scope: 'tides:read' })
      expect(tokens).toMatchObject({ token_type: 'bearer', expires_in: 600, scope: 'tides:read' })

      const jwks = createRemoteJWKSet(new URL(String(app.config.serverMetadata().jwks_uri)))
      const { payload, protectedHeader } = await jwtVerify(tokens.access_token, jwks, {
        issuer: server.issuer,
        audience: resource,
        typ: 'at+jwt',
        algorithms: [alg],
      })
      expect(protectedHeader).toEqual({ typ: 'at+jwt', alg, kid: expect.stringMatching(/^[\w-]{43}$/) })
      expect(payload).toEqual({
        iss: server.issuer,
        aud: resource,
        sub: service.client_id,
        client_id: service.client_id,
        scope: 'tides:read',
        iat: expect.any(Number),
        exp: (payload.iat ?? 0) + 600,
        jti: expect.stringMatching(/^[\w-]{21,}$/),
      })
      expect(Math.abs((payload.iat ?? 0) - requestedAt)).toBeLessThanOrEqual(5)
    },
  )

  test('return JWTs with unique jti, and without a scope claim when no scope was requested (RFC 9068 §2.2)', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => token({ resource: SIGNED.ES256 })))
    const payloads = answers.map(({ body }) => decodeJwt(String(body.access_token)))
    expect(new Set(payloads.map(({ jti }) => jti)).size).toBe(3)
    for (const payload of payloads) expect(payload).not.toHaveProperty('scope')
  })

  test('return an opaque token for ten minutes without a resource (RFC 6749 §4.4.3)', async () => {
    const { status, headers, body } = await token()
    expect(status).toBe(200)
    expect(body).toEqual({
      access_token: expect.stringMatching(/^[\w-]{43,}$/),
      token_type: 'Bearer',
      expires_in: 600,
    })
    expect(() => decodeProtectedHeader(String(body.access_token))).toThrow()
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('content-type')).toMatch(/^application\/json/)
  })

  test('return an opaque token with the resource’s lifetime for an opaque resource (RFC 8707 §2)', async () => {
    const { status, body } = await token({ resource: OPAQUE, scope: 'berths:read' })
    expect(status).toBe(200)
    expect(body).toEqual({
      access_token: expect.stringMatching(/^[\w-]{43,}$/),
      token_type: 'Bearer',
      expires_in: 120,
      scope: 'berths:read',
    })
    const introspected = await post(
      `${server.issuer}/introspect`,
      { token: String(body.access_token) },
      { as: service },
    )
    expect(introspected.body).toMatchObject({ active: true, aud: OPAQUE, scope: 'berths:read' })
  })

  test('grant no more scopes than requested, and return the scope when it is less (RFC 6749 §3.3, §5.1)', async () => {
    const { body } = await token({ resource: SIGNED.ES256, scope: 'tides:read' })
    expect(body.scope).toBe('tides:read')
    const both = await token({ resource: SIGNED.ES256, scope: 'tides:write tides:read' })
    expect(String(both.body.scope).split(' ').toSorted()).toEqual(['tides:read', 'tides:write'])
    expect(decodeJwt(String(both.body.access_token)).scope).toBe(both.body.scope)
    // A scope of the client, but not of this resource.
    const other = await token({ resource: SIGNED.ES256, scope: 'tides:read berths:read' })
    if (other.status === 200) expect(other.body.scope).toBe('tides:read')
    else expectError(other, 'invalid_scope')
  })

  test.for([
    'tides:write',
    'tides:read tides:write',
    'nonsense',
    'openid',
    'openid offline_access',
    'profile email',
    'foreign:read',
    'tides:read"',
    'a\\b',
    'TIDES:READ',
  ])('return invalid_scope for scope %s outside the allow-list (RFC 6749 §5.2)', async (scope) => {
    expectError(await token({ resource: SIGNED.RS256, scope }, limited), 'invalid_scope')
    expectError(await token({ scope }, limited), 'invalid_scope')
  })

  test.for<[string, Form]>([
    ['unknown', { resource: 'https://nowhere.example.test' }],
    ['of other clients', { resource: FOREIGN }],
    ['spelt with another slash', { resource: `${SIGNED.ES256}/` }],
    ['spelt in capitals', { resource: SIGNED.ES256.toUpperCase() }],
    ['with a fragment', { resource: `${SIGNED.ES256}#x` }],
    ['that is no URI', { resource: 'tides' }],
    [
      'named beside another',
      [
        ['resource', SIGNED.ES256],
        ['resource', OPAQUE],
      ],
    ],
    [
      'named beside an unknown one',
      [
        ['resource', SIGNED.ES256],
        ['resource', FOREIGN],
      ],
    ],
  ])('return invalid_target for a resource %s (RFC 8707 §2)', async ([, form]) => {
    expectError(await token(form), 'invalid_target')
  })

  test('return no refresh token and no ID token (RFC 6749 §4.4.3)', async () => {
    for (const form of [{}, { resource: OPAQUE }, { resource: SIGNED.EdDSA, scope: 'tides:read' }]) {
      const { body } = await token(form)
      expect(body).toHaveProperty('access_token')
      expect(body).not.toHaveProperty('refresh_token')
      expect(body).not.toHaveProperty('id_token')
    }
  })

  test('return a token that userinfo rejects, because it has no end-user (RFC 6750 §3.1)', async () => {
    for (const form of [{}, { resource: OPAQUE }, { resource: SIGNED.EdDSA }]) {
      const { body } = await token(form)
      await expect(
        client.fetchUserInfo(app.config, String(body.access_token), client.skipSubjectCheck),
      ).rejects.toMatchObject({ status: 401 })
    }
  })
})

describe('a grant type', () => {
  test.for([
    'password',
    'implicit',
    'urn:ietf:params:oauth:grant-type:token-exchange',
    'urn:ietf:params:oauth:grant-type:jwt-bearer',
    'urn:openid:params:grant-type:ciba',
    'CLIENT_CREDENTIALS',
    '__proto__',
    'constructor',
  ])('%s returns unsupported_grant_type (RFC 6749 §5.2)', async (grant_type) => {
    const answer = await post(
      `${server.issuer}/token`,
      { grant_type, username: 'ada', password: 'velvet kettle harbor nineteen', assertion: 'x' },
      { as: service },
    )
    expectError(answer, 'unsupported_grant_type')
  })

  test('that is missing or repeated returns invalid_request (RFC 6749 §3.2)', async () => {
    expectError(await post(`${server.issuer}/token`, {}, { as: service }), 'invalid_request')
    expectError(await token(GRANT), 'invalid_request')
  })

  test.for<[type: string, grantType: string]>([
    ['service', 'authorization_code'],
    ['service', 'refresh_token'],
    ['service', 'urn:ietf:params:oauth:grant-type:device_code'],
    ['web', 'client_credentials'],
    ['web', 'urn:ietf:params:oauth:grant-type:device_code'],
    ['spa', 'client_credentials'],
    ['device', 'client_credentials'],
    ['device', 'authorization_code'],
  ])(
    'that a %s client may not use (%s) returns unauthorized_client (RFC 6749 §5.2)',
    async ([type, grant_type]) => {
      const isInteractive = type === 'web' || type === 'spa'
      const document = await server.admin.clients.create({
        type,
        client_name: 'Wrong Door',
        ...(isInteractive ? { redirect_uris: [CALLBACK] } : {}),
      })
      const answer = await post(
        `${server.issuer}/token`,
        { grant_type, code: 'x', refresh_token: 'x', device_code: 'x', redirect_uri: CALLBACK },
        { as: document },
      )
      expectError(answer, 'unauthorized_client')
    },
  )
})

test('the JWKS has only public keys, one for each algorithm, and is cacheable (RFC 7517 §5)', async () => {
  const response = await fetch(String(app.config.serverMetadata().jwks_uri))
  const { keys } = (await response.json()) as { keys: Record<string, string>[] }
  expect(keys.map(({ alg }) => alg).toSorted()).toEqual(['ES256', 'EdDSA', 'RS256'])
  for (const key of keys) {
    expect(key).toMatchObject({ kid: expect.any(String), use: 'sig' })
    for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) expect(key).not.toHaveProperty(secret)
  }
  expect(response.headers.get('cache-control')).toMatch(/max-age=\d+/)
})
