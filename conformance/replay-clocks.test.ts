import { randomUUID } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { type ChildServer, startChildServer } from './support/child-server.ts'
import { later } from './support/clock.ts'
import { startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, post } from './support/http.ts'

const TOLERANCE_SECONDS = 15
const PROOF_SECONDS = 300

type KeyPair = Awaited<ReturnType<typeof generateKeyPair>>

let server: TestServer
let pair: KeyPair
let service: ClientDocument

beforeAll(async () => {
  server = await startTestServer()
  pair = await generateKeyPair('ES256', { extractable: true })
  service = await server.admin.clients.create({ type: 'service', client_name: 'Prover' })
})
afterAll(() => server?.remove())

function epoch(secondsFromNow: number): number {
  return Math.floor(Date.now() / 1000) + secondsFromNow
}

/** A new client, since failed authentications of one client are rate-limited. */
async function signer(): Promise<(exp: number) => Promise<string>> {
  const { client_id } = await server.admin.clients.create({
    type: 'service',
    client_name: 'Signer',
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [await exportJWK(pair.publicKey)] },
  })
  return (exp) =>
    new SignJWT({ iss: client_id, sub: client_id, aud: server.issuer, jti: randomUUID(), exp })
      .setProtectedHeader({ alg: 'ES256' })
      .sign(pair.privateKey)
}

function assert(url: string, client_assertion: string): Promise<Answer> {
  const client_assertion_type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
  return post(`${url}/token`, {
    grant_type: 'client_credentials',
    client_assertion_type,
    client_assertion,
  })
}

async function proof(iat: number): Promise<string> {
  return await new SignJWT({ jti: randomUUID(), htm: 'POST', htu: `${server.issuer}/token`, iat })
    .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk: await exportJWK(pair.publicKey) })
    .sign(pair.privateKey)
}

const prove = (url: string, dpop: string): Promise<Answer> =>
  post(`${url}/token`, { grant_type: 'client_credentials' }, { as: service, headers: { dpop } })

describe.each([120, -120])('with another instance whose clock is %i s ahead', (clockAheadSeconds) => {
  let shifted: ChildServer

  beforeAll(async () => {
    const { PORT: _, MANAGEMENT_PORT: __, ...settings } = server.env
    shifted = await startChildServer(settings, { clockAheadSeconds })
  })
  afterAll(() => shifted?.kill())

  const both = () =>
    [
      [server.url, shifted.url],
      [shifted.url, server.url],
    ] as const

  test('keeps a spent client assertion until no instance accepts it (RFC 7523 §3)', async () => {
    for (const [first, then] of both()) {
      const sign = await signer()
      // Just before its expiry, which a time shifted by one instance's offset would have passed.
      const exp = epoch(200)
      const assertion = await sign(exp)
      const used = await assert(first, assertion)
      expect(used.status, used.text).toBe(200)
      const again = exp + TOLERANCE_SECONDS - epoch(0) - 3
      expect(await later(again, () => assert(then, assertion))).toMatchObject({
        status: 401,
        body: { error: 'invalid_client' },
      })
    }
  })

  test('rejects a client assertion that has expired by the database’s clock (RFC 7523 §3)', async () => {
    const sign = await signer()
    expect(await assert(shifted.url, await sign(epoch(-TOLERANCE_SECONDS - 2)))).toMatchObject({
      status: 401,
      body: { error: 'invalid_client' },
    })
  })

  test('accepts a client assertion of five minutes and rejects a longer one (RFC 7523 §3)', async () => {
    const sign = await signer()
    const longest = await assert(shifted.url, await sign(epoch(295)))
    expect(longest.status, longest.text).toBe(200)
    expect(await assert(shifted.url, await sign(epoch(330)))).toMatchObject({ status: 401 })
  })

  test('rejects a replayed DPoP proof, and one that has expired by the database’s clock (RFC 9449 §11.1)', async () => {
    for (const [first, then] of both()) {
      const once = await proof(epoch(0))
      expect((await prove(first, once)).status).toBe(200)
      expect(await prove(then, once)).toMatchObject({
        status: 400,
        body: { error: 'invalid_dpop_proof' },
      })
    }
    expect(await prove(shifted.url, await proof(epoch(-PROOF_SECONDS - 3)))).toMatchObject({
      status: 400,
      body: { error: 'invalid_dpop_proof' },
    })
  })
})
