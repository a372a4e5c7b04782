import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestClient, expectErrorPage, type TestClient } from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, post, send } from './support/http.ts'
import { CALLBACK } from './support/relying-party.ts'

const APP_ORIGIN = new URL(CALLBACK).origin

let server: TestServer
let app: TestClient

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create({
    username: 'ada',
    email: 'ada@example.test',
    name: 'Ada Lovelace',
    password: PASSWORD,
  })
  app = await createTestClient(server, { scope: 'openid profile' })
})
afterAll(() => server?.remove())

/** Sends an authorization request without following redirects. */
const visit = (url: URL | string) => send(String(url), { headers: { accept: 'text/html' } })

type Change = Record<string, string | readonly string[] | undefined>

/** A valid authorization request with parameters replaced, repeated or omitted. */
async function changed(change: Change): Promise<URL> {
  const { url } = await app.request({ state: 'the-state' })
  for (const [name, value] of Object.entries(change)) {
    url.searchParams.delete(name)
    for (const item of [value ?? []].flat()) url.searchParams.append(name, item)
  }
  return url
}

/** Expects an error redirect with state and iss, and no code (RFC 6749 §4.1.2.1, RFC 9207 §2). */
function expectErrorSentBack(
  answer: Answer,
  errors: string | readonly string[],
  state: string | null = 'the-state',
) {
  expect(answer.status, answer.text.slice(0, 2000)).toBe(303)
  const location = new URL(answer.headers.get('location') ?? '', server.issuer)
  expect(location.origin + location.pathname).toBe(CALLBACK)
  // Implicit response types are answered in the fragment.
  const sent = new URLSearchParams(location.search || location.hash.slice(1))
  expect([errors].flat()).toContain(sent.get('error'))
  expect(sent.get('state')).toBe(state)
  expect(sent.get('iss')).toBe(server.issuer)
  expect(location.href).not.toMatch(/[?&#](code|access_token|id_token)=/)
}

describe('an authorization request without a valid client or redirect URI', () => {
  test.for<[what: string, change: Change]>([
    ['no client_id', { client_id: undefined }],
    ['an unknown client_id', { client_id: 'nobody' }],
    ['a client_id twice', { client_id: ['nobody', 'nobody'] }],
    ['a client_id with a NUL byte', { client_id: 'p\0' }],
    ['a client_id of 10,000 characters', { client_id: 'p'.repeat(10_000) }],
    ['no redirect_uri', { redirect_uri: undefined }],
    ['an empty redirect_uri', { redirect_uri: '' }],
    ['a redirect_uri twice', { redirect_uri: [CALLBACK, CALLBACK] }],
  ])('%s returns an error page without a redirect (RFC 6749 §4.1.2.1)', async ([, change]) => {
    expectErrorPage(await visit(await changed(change)))
  })

  test('rejects a repeated client_id (RFC 6749 §3.1)', async () => {
    expectErrorPage(await visit(await changed({ client_id: [app.client.client_id, app.client.client_id] })))
  })

  test.for(['service', 'device'])(
    'rejects a %s client, which has no code grant (RFC 6749 §4.1.2.1)',
    async (type) => {
      const { client_id } = await server.admin.clients.create({ type, client_name: 'No Code' })
      expectErrorPage(await visit(await changed({ client_id, scope: undefined })))
    },
  )

  test('rejects a disabled client, until it is enabled again (RFC 6749 §4.1.2.1)', async () => {
    const { client, authorizeSilently } = await createTestClient(server)
    const url = await changed({ client_id: client.client_id })
    await server.admin.clients.update({ client_id: client.client_id, disabled: true })
    expectErrorPage(await visit(url))
    await server.admin.clients.update({ client_id: client.client_id, disabled: false })
    expect((await authorizeSilently(new EndUser(server.issuer))).get('error')).toBe('login_required')
  })
})

describe('an invalid authorization request of a known client', () => {
  test.for<[what: string, change: Change, errors: string | readonly string[]]>([
    [
      'no response_type (OIDC Core §3.1.2.6)',
      { response_type: undefined },
      ['invalid_request', 'unsupported_response_type'],
    ],
    ...['token', 'id_token', 'code id_token', 'code token', 'id_token token', 'none', 'Code'].map(
      (type): [string, Change, string] => [
        `response_type ${type} (RFC 9700 §2.1.2)`,
        { response_type: type },
        'unsupported_response_type',
      ],
    ),
    ['max_age -1 (OIDC Core §3.1.2.1)', { max_age: '-1' }, 'invalid_request'],
    ['max_age abc (OIDC Core §3.1.2.1)', { max_age: 'abc' }, 'invalid_request'],
    ['max_age 1.5 (OIDC Core §3.1.2.1)', { max_age: '1.5' }, 'invalid_request'],
    ['prompt none with login (OIDC Core §3.1.2.1)', { prompt: 'none login' }, 'invalid_request'],
    ['an unknown prompt (OIDC Core §3.1.2.1)', { prompt: 'dance' }, 'invalid_request'],
    ['a scope it may not ask for (RFC 6749 §3.3)', { scope: 'openid email' }, 'invalid_scope'],
    [
      'a request object (OIDC Core §3.1.2.6)',
      { request: new UnsecuredJWT({ scope: 'openid' }).encode() },
      'request_not_supported',
    ],
    ['inline registration (OIDC Core §3.1.2.6)', { registration: '{}' }, 'registration_not_supported'],
  ])('%s returns the error to the client', async ([, change, errors]) => {
    expectErrorSentBack(await visit(await changed(change)), errors)
  })

  test.for(['fragment', 'FRAGMENT', 'fragment.jwt', 'jwt', 'web_message', 'query fragment', 'none'])(
    'rejects response_mode %s, with the error in the query (RFC 9700 §4.3.1)',
    async (mode) => {
      for (const change of [{}, { scope: 'openid email' }, { code_challenge: undefined }]) {
        const answer = await visit(await changed({ response_mode: mode, ...change }))
        expectErrorSentBack(answer, 'unsupported_response_mode')
        expect(answer.headers.get('location')).not.toContain('#')
      }
      const { searchParams } = await changed({ response_mode: mode })
      const posted = await post(`${server.issuer}/authorize`, searchParams)
      const followed = await visit(new URL(posted.headers.get('location') ?? '', server.issuer))
      expectErrorSentBack(followed, 'unsupported_response_mode')
      expect(await post(`${server.issuer}/par`, searchParams, { as: app.client })).toMatchObject({
        status: 400,
        body: { error: 'unsupported_response_mode' },
      })
    },
  )

  test('rejects a repeated response_mode, with the error in the query (RFC 6749 §3.1)', async () => {
    for (const modes of [
      ['fragment', 'fragment'],
      ['query', 'fragment'],
      ['form_post', 'query'],
    ]) {
      const answer = await visit(await changed({ response_mode: modes }))
      expectErrorSentBack(answer, 'invalid_request')
      expect(answer.headers.get('location')).not.toContain('#')
    }
  })

  test.for<[name: string, values: string[]]>([
    ['scope', ['openid', 'openid profile']],
    ['nonce', ['one', 'two']],
    ['response_type', ['code', 'code']],
    ['code_challenge', ['E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', 'q'.repeat(43)]],
    ['code_challenge_method', ['S256', 'plain']],
    ['prompt', ['none', 'login']],
    ['max_age', ['1', '2']],
  ])('rejects a repeated %s without using either value (RFC 6749 §3.1)', async ([name, values]) => {
    expectErrorSentBack(await visit(await changed({ [name]: values })), 'invalid_request')
  })

  test('rejects a repeated state without returning either value (RFC 6749 §3.1)', async () => {
    expectErrorSentBack(await visit(await changed({ state: ['one', 'two'] })), 'invalid_request', null)
  })

  test('rejects a request_uri without fetching it (OIDC Core §3.1.2.6)', async () => {
    let fetched = 0
    const bait = createServer((_request, response) => {
      fetched++
      response.end('{}')
    })
    await new Promise<void>((done) => bait.listen(0, '127.0.0.1', done))
    const { port } = bait.address() as AddressInfo
    const request_uri = `http://127.0.0.1:${port}/request.jwt`
    expectErrorSentBack(await visit(await changed({ request_uri })), 'request_uri_not_supported')
    await new Promise((done) => bait.close(done))
    expect(fetched).toBe(0)
  })
})

describe('an authorization request with further parameters', () => {
  test.for<[what: string, change: Record<string, string>]>([
    ['an unknown parameter', { flavour: 'vanilla' }],
    ['acr_values', { acr_values: 'urn:mace:incommon:iap:silver' }],
    ['ui_locales and claims_locales', { ui_locales: 'de-CH fr', claims_locales: 'de' }],
    ['display', { display: 'popup' }],
    ['a login_hint that is HTML', { login_hint: '"><script>alert(1)</script>' }],
  ])('%s succeeds without it (OIDC Core §3.1.2.1)', async ([, parameters]) => {
    const { request, callback } = await app.getCode(parameters)
    const tokens = await request.redeem(callback)
    expect(tokens.claims()?.sub).toBeTruthy()
  })

  test.for([
    ['not JSON', 'not json'],
    ['nested 3,000 deep', '['.repeat(3000)],
    ['a list', '[]'],
    ['empty', '{}'],
    ['not an object of claims', '{"id_token":[]}'],
  ])('rejects claims that are %s (OIDC Core §5.5)', async ([, claims]) => {
    const page = await new EndUser(server.issuer).open((await app.request({ claims: claims ?? '' })).url)
    expect(page.leftTo?.searchParams.get('error')).toBe('invalid_request')
  })

  const deep = `${'{"a":'.repeat(3_000)}1${'}'.repeat(3_000)}`
  test.for([
    ['nested 3,000 deep in a claim', `{"id_token":{"acr":${deep}}}`],
    [
      'nested 9,000 deep in a list',
      `{"id_token":{"acr":{"values":${'['.repeat(9_000)}${']'.repeat(9_000)}}}}`,
    ],
    ['nested 20 deep', `{"id_token":{"acr":${'['.repeat(20)}${']'.repeat(20)}}}`],
    ['with NUL', '{"id_token":{"acr":{"value":"\\u0000"}}}'],
    ['with NUL in a name', '{"id_token":{"acr":{"\\u0000":1}}}'],
    ['with half of a surrogate pair', '{"id_token":{"sub":{"value":"\\ud800"}}}'],
    ['18 KB of brackets', '['.repeat(18_000)],
  ])('rejects pushed claims that are %s, at little cost (OIDC Core §5.5, CWE-674)', async ([, claims]) => {
    const parameters = Object.fromEntries((await app.request({ claims: claims ?? '' })).url.searchParams)
    const push = () => post(`${server.url}/par`, parameters, { as: app.client })
    const milliseconds: number[] = []
    for (let times = 0; times < 10; times++) {
      const before = process.cpuUsage()
      expect(await push()).toMatchObject({ status: 400, body: { error: 'invalid_request' } })
      const { user, system } = process.cpuUsage(before)
      milliseconds.push((user + system) / 1000)
    }
    // CPU time of the whole process, garbage collection included: the minimum is the best estimate.
    expect(Math.min(...milliseconds)).toBeLessThan(10)
  })

  test('returns no claims for the claims parameter, only for scopes (OIDC Core §5.5.1)', async () => {
    const claims = JSON.stringify({ userinfo: { email: { essential: true } }, id_token: { email: null } })
    const { request, callback } = await app.getCode({ claims })
    const tokens = await request.redeem(callback)
    expect(tokens.claims()).not.toHaveProperty('email')
    const answer = await send(`${server.issuer}/userinfo`, {
      headers: { authorization: `Bearer ${tokens.access_token}` },
    })
    expect(answer.status).toBe(200)
    expect(answer.body).not.toHaveProperty('email')
  })

  test('does not grant an unknown scope (RFC 6749 §3.3)', async () => {
    const { scope } = await app.getTokens({ scope: 'openid fish profile' })
    expect(scope.split(' ').sort()).toEqual(['openid', 'profile'])
  })

  test('returns 4 KB of state and nonce unchanged (OIDC Core §3.1.2.1)', async () => {
    const state = `${'s'.repeat(4090)}/é +&%`
    const nonce = 'n'.repeat(4096)
    const { request, callback } = await app.getCode({ state, nonce })
    expect(callback.searchParams.get('state')).toBe(state)
    expect((await request.redeem(callback)).claims()?.nonce).toBe(nonce)
  })

  test.for([9_000, 20_000])(
    'rejects a state of %i characters instead of truncating it (RFC 6749 §4.1.2)',
    async (length) => {
      const answer = await visit(await changed({ state: 's'.repeat(length) }))
      expect([400, 414, 431]).toContain(answer.status)
      expect(answer.headers.get('location')).toBeNull()
    },
  )
})

describe('the authorization endpoint', () => {
  test('accepts POST, also from the client’s site (OIDC Core §3.1.2.1)', async () => {
    const { url, redeem } = await app.request()
    const user = new EndUser(server.issuer)
    const answer = await send(`${server.issuer}/authorize`, {
      method: 'POST',
      body: url.searchParams,
      headers: { origin: APP_ORIGIN, 'sec-fetch-site': 'cross-site', accept: 'text/html' },
    })
    expect(answer.status).toBe(303)
    const page = await user.signInAndAgree(new URL(answer.headers.get('location') ?? '', server.issuer))
    expect((await redeem(page.leftTo)).claims()?.sub).toBeTruthy()
  })

  test('returns the same errors for POST as for GET (RFC 6749 §3.1)', async () => {
    for (const [change, error] of [
      [{ nonce: ['one', 'two'] }, 'invalid_request'],
      [{ response_type: 'token' }, 'unsupported_response_type'],
    ] as const) {
      const { searchParams } = await changed(change)
      const answer = await send(`${server.issuer}/authorize`, { method: 'POST', body: searchParams })
      const location = new URL(answer.headers.get('location') ?? '', server.issuer)
      expectErrorSentBack(await visit(location), error)
    }
  })

  test('returns no CORS headers (RFC 9700 §2.6)', async () => {
    const { url } = await app.request()
    const asked = { origin: APP_ORIGIN, 'access-control-request-method': 'GET' }
    for (const answer of [
      await send(String(url), { method: 'OPTIONS', headers: asked }),
      await send(String(url), { headers: { origin: APP_ORIGIN } }),
    ]) {
      expect(answer.headers.get('access-control-allow-origin')).toBeNull()
      expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
    }
  })
})
