import { createHash, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import * as client from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { later } from './support/clock.ts'
import { createTestClient } from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, post, send, statuses } from './support/http.ts'
import { CALLBACK, createRelyingParty, type RelyingParty } from './support/relying-party.ts'

const SIGNED = 'https://signed.api.example.test'
const GRANT = { grant_type: 'client_credentials' }

type KeyPair = Awaited<ReturnType<typeof generateKeyPair>>

let server: TestServer
let spa: ClientDocument
let service: ClientDocument
let app: RelyingParty
let key: KeyPair
let otherKey: KeyPair

beforeAll(async () => {
  server = await startTestServer()
  const { clients, resources, users } = server.admin
  await users.create({ username: 'ada', password: PASSWORD })
  await resources.create({ identifier: SIGNED, scope: 'tides:read', format: 'jwt', signing_alg: 'ES256' })
  spa = await clients.create({
    type: 'spa',
    client_name: 'Chart',
    redirect_uris: [CALLBACK],
    first_party: true,
  })
  service = await clients.create({ type: 'service', client_name: 'Bot', resources: [SIGNED] })
  app = await createRelyingParty(server.issuer, spa)
  ;[key, otherKey] = await Promise.all([newKey(), newKey()])
})
afterAll(() => server?.remove())

const newKey = (alg = 'ES256'): Promise<KeyPair> => generateKeyPair(alg, { extractable: true })

type Proof = {
  header?: Record<string, unknown>
  claims?: JWTPayload & { htm?: string; htu?: string }
  by?: KeyPair
}

/** A DPoP proof for POST /token, except for what is given (RFC 9449 §4.2). */
async function proof({ header = {}, claims = {}, by = key }: Proof = {}): Promise<string> {
  const payload = { jti: randomUUID(), htm: 'POST', htu: `${server.issuer}/token`, iat: epoch(0), ...claims }
  return await new SignJWT(JSON.parse(JSON.stringify(payload)))
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await exportJWK(by.publicKey), ...header })
    .sign(by.privateKey)
}

function token(dpop: string, form: Record<string, string> = GRANT, as = service): Promise<Answer> {
  return post(`${server.issuer}/token`, form, { as, headers: { dpop } })
}

async function userinfo(
  accessToken: string,
  by: KeyPair | undefined,
  claims: Proof['claims'] = {},
): Promise<Answer> {
  const ath = createHash('sha256').update(accessToken).digest('base64url')
  const own = { htm: 'GET', htu: `${server.issuer}/userinfo`, ath, ...claims }
  return await send(`${server.issuer}/userinfo`, {
    headers: by
      ? { authorization: `DPoP ${accessToken}`, dpop: await proof({ claims: own, by }) }
      : { authorization: `Bearer ${accessToken}` },
  })
}

/** Signs Ada in to the public client, whose tokens are then bound to the key. */
async function boundTokens() {
  const DPoP = client.getDPoPHandle(app.config, key as client.CryptoKeyPair)
  const request = await app.request()
  const page = await new EndUser(server.issuer).signInAndAgree(request.url)
  const state = request.url.searchParams.get('state') ?? undefined
  const nonce = request.url.searchParams.get('nonce') ?? undefined
  const checks = { pkceCodeVerifier: request.verifier, expectedState: state, expectedNonce: nonce }
  const tokens = await client.authorizationCodeGrant(
    app.config,
    page.leftTo ?? new URL(CALLBACK),
    Object.fromEntries(Object.entries(checks).filter(([, value]) => value !== undefined)),
    undefined,
    { DPoP },
  )
  return { DPoP, tokens, refresh_token: tokens.refresh_token ?? '' }
}

const refreshForm = (refresh_token: string) => ({ grant_type: 'refresh_token', refresh_token })

describe('DPoP', () => {
  test('binds the tokens of a public client to its key, also refresh tokens (RFC 9449 §5)', async () => {
    const { DPoP, tokens, refresh_token } = await boundTokens()
    expect(tokens.token_type).toBe('dpop')
    const { sub = '' } = tokens.claims() ?? {}
    const claims = await client.fetchUserInfo(app.config, tokens.access_token, sub, { DPoP })
    expect(claims.sub).toBe(sub)
    const refreshed = await client.refreshTokenGrant(app.config, refresh_token, undefined, { DPoP })
    expect(refreshed.token_type).toBe('dpop')
    expect((await userinfo(refreshed.access_token, key)).status).toBe(200)
  })

  test('binds a service’s token, opaque or signed, with a cnf claim (RFC 9449 §6)', async () => {
    const jkt = await calculateJwkThumbprint(await exportJWK(key.publicKey))
    const opaque = await token(await proof())
    expect(opaque).toMatchObject({ status: 200, body: { token_type: 'DPoP' } })
    const introspected = await post(
      `${server.issuer}/introspect`,
      { token: String(opaque.body.access_token) },
      { as: service },
    )
    expect(introspected.body).toMatchObject({ active: true, token_type: 'DPoP', cnf: { jkt } })

    const signed = await token(await proof(), { ...GRANT, resource: SIGNED })
    expect(signed.body.token_type).toBe('DPoP')
    const [, payload = ''] = String(signed.body.access_token).split('.')
    expect(JSON.parse(Buffer.from(payload, 'base64url').toString())).toMatchObject({ cnf: { jkt } })
  })

  test('repeats a refresh answer only with the same key (RFC 9449 §5)', async () => {
    const { refresh_token } = await boundTokens()
    const form = { ...refreshForm(refresh_token), client_id: spa.client_id }
    const send = (dpop: string) => post(`${server.issuer}/token`, form, { headers: { dpop } })
    const first = await send(await proof())
    expect(first.status, first.text).toBe(200)
    expect((await send(await proof())).text).toBe(first.text)
    expect(await send(await proof({ by: otherKey }))).toMatchObject({ status: 400 })
    expect(await post(`${server.issuer}/token`, form)).toMatchObject({ status: 400 })
    // The request with another key revoked nothing.
    expect((await send(await proof())).text).toBe(first.text)
  })

  test('is required for a repeated refresh of confidential clients, too', async () => {
    const web = await createTestClient(server)
    const { refreshToken } = await web.getTokens()
    const send = (dpop?: string) =>
      post(`${server.issuer}/token`, refreshForm(refreshToken), {
        as: web.client,
        headers: dpop === undefined ? {} : { dpop },
      })
    const first = await send(await proof())
    expect(first.status, first.text).toBe(200)
    expect((await send(await proof())).text).toBe(first.text)
    for (const other of [await proof({ by: otherKey }), undefined])
      expect(await send(other)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  })

  test('is announced with asymmetric algorithms only (RFC 9449 §5.1)', () => {
    const algs = app.config.serverMetadata().dpop_signing_alg_values_supported ?? []
    expect(algs).toContain('ES256')
    for (const alg of algs) expect(alg).not.toMatch(/^(HS|none)/)
  })
})

describe('a DPoP proof', () => {
  test.for<[string, () => Proof | Promise<Proof>]>([
    ['for another URL', () => ({ claims: { htu: 'https://elsewhere.example.test/token' } })],
    ['for another endpoint', () => ({ claims: { htu: `${server.issuer}/userinfo` } })],
    ['for another method', () => ({ claims: { htm: 'GET' } })],
    ['for the method in lower case', () => ({ claims: { htm: 'post' } })],
    ['of ten minutes ago', () => ({ claims: { iat: epoch(-600) } })],
    ['of ten minutes ahead', () => ({ claims: { iat: epoch(600) } })],
    ['without jti', () => ({ claims: { jti: undefined } as unknown as JWTPayload })],
    ['without iat', () => ({ claims: { iat: undefined } as unknown as JWTPayload })],
    ['of another type', () => ({ header: { typ: 'JWT' } })],
    [
      'signed by another key than it names',
      async () => ({ header: { jwk: await exportJWK(otherKey.publicKey) } }),
    ],
    ['that shows its private key', async () => ({ header: { jwk: await exportJWK(key.privateKey) } })],
    ['without its key', () => ({ header: { jwk: undefined } })],
  ])('%s returns invalid_dpop_proof (RFC 9449 §4.3)', async ([, given]) => {
    const answer = await token(await proof(await given()))
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
  })

  test.for([
    ['no JWT', 'nonsense'],
    ['unsigned', `${encode({ alg: 'none', typ: 'dpop+jwt' })}.${encode({ jti: 'x' })}.`],
    ['two at once', 'a.b.c, d.e.f'],
  ])('that is %s returns invalid_dpop_proof (RFC 9449 §4.3)', async ([, value]) => {
    expect(await token(value ?? '')).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
  })

  test('is accepted once (RFC 9449 §11.1)', async () => {
    const once = await proof()
    expect((await token(once)).status).toBe(200)
    expect(await token(once)).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
  })

  test('is stored for as long as it would be accepted (RFC 9449 §11.1)', async () => {
    const ahead = await proof({ claims: { iat: epoch(290) } })
    expect((await token(ahead)).status).toBe(200)
    const again = await later(400, () => token(ahead))
    expect(again).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
  })

  test('used twenty times at once is accepted once (RFC 9449 §11.1)', async () => {
    const raced = await proof()
    const answers = await Promise.all(Array.from({ length: 20 }, () => token(raced)))
    expect(statuses(answers)).toEqual({ 200: 1, 400: 19 })
    for (const { status, body } of answers) if (status === 400) expect(body.error).toBe('invalid_dpop_proof')
  })

  test('used again returns invalid_dpop_proof for a client with private_key_jwt, too (RFC 9449 §5)', async () => {
    const pair = await newKey()
    const signer = await server.admin.clients.create({
      type: 'service',
      client_name: 'Signer',
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [await exportJWK(pair.publicKey)] },
    })
    const { client_id } = signer
    const ask = async (dpop: string) => {
      const claims = { iss: client_id, sub: client_id, aud: server.issuer, jti: randomUUID() }
      const assertion = await new SignJWT({ ...claims, exp: epoch(60) })
        .setProtectedHeader({ alg: 'ES256' })
        .sign(pair.privateKey)
      const client_assertion_type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
      return await token(dpop, { ...GRANT, client_assertion_type, client_assertion: assertion }, signer)
    }
    const once = await proof()
    expect((await ask(once)).status).toBe(200)
    expect(await ask(once)).toMatchObject({ status: 400, body: { error: 'invalid_dpop_proof' } })
  })

  test('used again does not spend the code or refresh token of the request (RFC 9449 §11.1)', async () => {
    const { refresh_token } = await boundTokens()
    const once = await proof()
    const first = await token(once, refreshForm(refresh_token), spa)
    expect(first.status, first.text).toBe(200)
    const successor = String(first.body.refresh_token)
    expect(await token(once, refreshForm(successor), spa)).toMatchObject({
      status: 400,
      body: { error: 'invalid_dpop_proof' },
    })
    expect((await token(await proof(), refreshForm(successor), spa)).status).toBe(200)
  })
})

describe('a bound token', () => {
  test('is rejected as a bearer token, and with another key (RFC 9449 §7.1)', async () => {
    const { tokens } = await boundTokens()
    for (const by of [undefined, otherKey]) {
      const answer = await userinfo(tokens.access_token, by)
      expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_token' } })
      expect(answer.headers.get('www-authenticate')).toMatch(/^DPoP .*error="invalid_token"/)
    }
  })

  test.for<[string, Proof['claims']]>([
    ['the hash of another token', { ath: createHash('sha256').update('x').digest('base64url') }],
    ['the hash of none', { ath: '' }],
    ['another method', { htm: 'POST' }],
    ['another URL', { htu: 'https://elsewhere.example.test/userinfo' }],
  ])('with a proof that has %s returns 401 invalid_dpop_proof (RFC 9449 §7.1)', async ([, claims]) => {
    const { tokens } = await boundTokens()
    const answer = await userinfo(tokens.access_token, key, claims)
    expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_dpop_proof' } })
    expect(answer.headers.get('www-authenticate')).toMatch(/^DPoP .*algs="/)
  })

  test('with a replayed proof returns 401 (RFC 9449 §11.1)', async () => {
    const { tokens } = await boundTokens()
    const jti = randomUUID()
    expect((await userinfo(tokens.access_token, key, { jti })).status).toBe(200)
    const again = await userinfo(tokens.access_token, key, { jti })
    expect(again.status).toBe(401)
    expect(again.body).not.toHaveProperty('sub')
  })

  test('of a public client is not refreshed without its key, and stays valid (RFC 9449 §5)', async () => {
    const { refresh_token } = await boundTokens()
    const withoutProof = await post(`${server.issuer}/token`, refreshForm(refresh_token), { as: spa })
    const withOtherKey = await token(await proof({ by: otherKey }), refreshForm(refresh_token), spa)
    for (const answer of [withoutProof, withOtherKey]) {
      expect(answer.status).toBe(400)
      expect(['invalid_grant', 'invalid_dpop_proof']).toContain(answer.body.error)
    }
    expect((await token(await proof(), refreshForm(refresh_token), spa)).status).toBe(200)
  })

  test('is issued only to the key of the authorization request (RFC 9449 §10)', async () => {
    const request = await app.request({
      dpop_jkt: await calculateJwkThumbprint(await exportJWK(key.publicKey)),
    })
    const page = await new EndUser(server.issuer).signInAndAgree(request.url)
    const form = {
      grant_type: 'authorization_code',
      code: page.leftTo?.searchParams.get('code') ?? '',
      redirect_uri: CALLBACK,
      code_verifier: request.verifier,
    }
    for (const dpop of [undefined, await proof({ by: otherKey })]) {
      const answer = await post(`${server.issuer}/token`, form, { as: spa, headers: dpop ? { dpop } : {} })
      expect(answer.status).toBe(400)
      expect(answer.body).not.toHaveProperty('access_token')
    }
  })
})

function epoch(secondsFromNow: number): number {
  return Math.floor(Date.now() / 1000) + secondsFromNow
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
