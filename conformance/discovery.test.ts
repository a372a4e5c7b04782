import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, send } from './support/http.ts'
import { CALLBACK, createRelyingParty } from './support/relying-party.ts'

const OPENID = '/.well-known/openid-configuration'
const OAUTH = '/.well-known/oauth-authorization-server'

let server: TestServer
let web: ClientDocument
let device: ClientDocument

beforeAll(async () => {
  server = await startTestServer()
  const { clients } = server.admin
  web = await clients.create({ type: 'web', client_name: 'Harbour Dashboard', redirect_uris: [CALLBACK] })
  device = await clients.create({ type: 'device', client_name: 'Television' })
})
afterAll(() => server?.remove())

const discover = async (path = OPENID) => (await send(server.url + path)).body

describe('discovery', () => {
  test('announces exactly what the server supports (RFC 8414 §2)', async () => {
    const metadata = await discover()
    expect(metadata).toMatchObject({
      issuer: server.issuer,
      response_types_supported: ['code'],
      code_challenge_methods_supported: ['S256'],
      authorization_response_iss_parameter_supported: true,
      subject_types_supported: ['public'],
    })
    for (const path of [OPENID, OAUTH])
      expect((await discover(path)).response_modes_supported).toEqual(['query', 'form_post'])
    expect((metadata.grant_types_supported as string[]).toSorted()).toEqual([
      'authorization_code',
      'client_credentials',
      'refresh_token',
      'urn:ietf:params:oauth:grant-type:device_code',
    ])
    // These two are on when they are not mentioned (OpenID Connect Discovery §3).
    expect(metadata.request_uri_parameter_supported).toBe(false)
    expect(metadata.claims_parameter_supported).toBe(true)
    for (const name of [
      'registration_endpoint',
      'backchannel_authentication_endpoint',
      'check_session_iframe',
    ])
      expect(metadata).not.toHaveProperty(name)
  })

  test('lists no algorithm without a public key (RFC 8725 §3.1)', async () => {
    const lists = Object.entries(await discover()).filter(([name]) => /_alg(s|_values)?_/.test(name))
    expect(lists.map(([name]) => name)).toContain('id_token_signing_alg_values_supported')
    for (const [name, algs] of lists) {
      expect(algs, name).not.toHaveLength(0)
      for (const alg of algs as string[]) expect(alg, name).toMatch(/^(RS256|PS256|ES256|EdDSA|Ed25519)$/)
    }
  })

  test('names endpoints of the issuer that exist (RFC 8414 §2)', async () => {
    const metadata = await discover()
    const endpoints = Object.entries(metadata).filter(([name]) => /(_endpoint|_uri)$/.test(name))
    expect(endpoints.length).toBeGreaterThanOrEqual(9)
    for (const [name, url] of endpoints) {
      expect(new URL(String(url)).origin, name).toBe(server.issuer)
      expect((await send(String(url))).status, name).not.toBe(404)
    }
  })

  test('returns the same document for OAuth clients (RFC 8414 §3)', async () => {
    expect(await discover(OAUTH)).toEqual(await discover())
  })

  test('announces public, distinct keys, one for each signing algorithm (RFC 7517 §4)', async () => {
    const { jwks_uri, id_token_signing_alg_values_supported: algs } = await discover()
    const { body } = await send(String(jwks_uri))
    const keys = body.keys as Record<string, unknown>[]
    expect(new Set(keys.map(({ alg }) => alg))).toEqual(new Set(algs as string[]))
    expect(new Set(keys.map(({ kid }) => kid)).size).toBe(keys.length)
    for (const key of keys) {
      expect(key).toMatchObject({ use: 'sig', kid: expect.any(String) })
      for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) expect(key).not.toHaveProperty(secret)
    }
  })
})

type Spoof = Record<string, string>
type Call = { path: string; form?: Record<string, string>; headers?: Spoof }

/** Uses node:http, because fetch sets `Host` itself. */
async function sendAs(
  spoof: Spoof,
  { path, form, headers = {} }: Call,
): Promise<Pick<Answer, 'status' | 'text'> & { location: string }> {
  const body = form && new URLSearchParams(form).toString()
  return await new Promise((done, fail) => {
    const request = httpRequest(
      new URL(path, server.url),
      {
        method: body === undefined ? 'GET' : 'POST',
        headers: {
          ...(body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
          ...headers,
          ...spoof,
        },
      },
      (response) => {
        response.setEncoding('utf8')
        let text = ''
        response.on('data', (chunk: string) => {
          text += chunk
        })
        response.on('end', () =>
          done({ status: response.statusCode ?? 0, text, location: response.headers.location ?? '' }),
        )
      },
    )
    request.on('error', fail)
    request.end(body)
  })
}

describe('a forged host (RFC 9700 §4.13)', () => {
  const spoofs: [header: string, spoof: Spoof][] = [
    ['Host', { host: 'evil.test' }],
    ['Host with a port', { host: 'evil.test:8443' }],
    ['X-Forwarded-Host', { 'x-forwarded-host': 'evil.test', 'x-forwarded-proto': 'https' }],
    ['X-Forwarded-Proto', { 'x-forwarded-proto': 'evil' }],
    ['Forwarded', { forwarded: 'host=evil.test;proto=https;for=1.2.3.4' }],
    ['X-Original-Host', { 'x-original-host': 'evil.test', 'x-host': 'evil.test' }],
  ]

  test.for(spoofs)('(%s) does not change the issuer in discovery', async ([, spoof]) => {
    for (const path of [OPENID, OAUTH]) {
      const { status, text } = await sendAs(spoof, { path })
      expect(status).toBe(200)
      expect(JSON.parse(text)).toEqual(await discover())
    }
  })

  test.for(spoofs)('(%s) does not change the redirect to the sign-in page', async ([, spoof]) => {
    const app = await createRelyingParty(server.issuer, web)
    const { url } = await app.request()
    const { status, location, text } = await sendAs(spoof, { path: url.pathname + url.search })
    expect(status).toBe(303)
    expect(location).toMatch(/interaction/)
    expect(new URL(location, server.issuer).origin).toBe(server.issuer)
    expect(text).not.toMatch(/evil/)
  })

  test.for(spoofs)('(%s) does not change the redirect after a POST', async ([, spoof]) => {
    const { status, location } = await sendAs(spoof, {
      path: '/authorize',
      form: { client_id: web.client_id },
    })
    expect(status).toBe(303)
    expect(new URL(location, server.issuer).origin).toBe(server.issuer)
  })

  test.for(spoofs)('(%s) does not change the verification URI', async ([, spoof]) => {
    const { status, text } = await sendAs(spoof, {
      path: '/device/authorize',
      form: { client_id: device.client_id },
    })
    expect(status, text).toBe(200)
    const { verification_uri, verification_uri_complete } = JSON.parse(text)
    expect(verification_uri).toBe(`${server.issuer}/device`)
    expect(new URL(verification_uri_complete).origin).toBe(server.issuer)
  })

  test.for(spoofs)('(%s) does not change the URLs of pages and forms', async ([, spoof]) => {
    for (const path of ['/logout', '/device', '/nothing-here']) {
      const { text } = await sendAs(spoof, { path, headers: { accept: 'text/html' } })
      expect(text, path).toMatch(/<html/)
      expect(text, path).not.toMatch(/evil/)
    }
  })
})
