import { buildAuthorizationUrlWithPAR, calculatePKCECodeChallenge } from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { later } from './support/clock.ts'
import { EndUser } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, type Form, post, send } from './support/http.ts'
import { CALLBACK, createRelyingParty, type RelyingParty } from './support/relying-party.ts'

const VERIFIER = 'v'.repeat(43)

let server: TestServer
let web: ClientDocument
let spa: ClientDocument
let other: ClientDocument
let service: ClientDocument
let app: RelyingParty
let challenge: string

beforeAll(async () => {
  server = await startTestServer()
  challenge = await calculatePKCECodeChallenge(VERIFIER)
  const { clients, users } = server.admin
  await users.create({ username: 'ada', password: PASSWORD })
  const settings = { redirect_uris: [CALLBACK], first_party: true }
  web = await clients.create({ type: 'web', client_name: 'Dashboard', ...settings })
  other = await clients.create({ type: 'web', client_name: 'Other', ...settings })
  spa = await clients.create({ type: 'spa', client_name: 'Chart', ...settings })
  service = await clients.create({ type: 'service', client_name: 'Bot' })
  app = await createRelyingParty(server.issuer, web)
})
afterAll(() => server?.remove())

/** An authorization request; its client_id is in the form even when the client authenticates by header (RFC 9126 §2.1). */
function parameters(changes: Record<string, string | undefined> = {}): Form {
  const all = {
    client_id: web.client_id,
    response_type: 'code',
    redirect_uri: CALLBACK,
    scope: 'openid',
    state: 'the-state',
    code_challenge: challenge,
    code_challenge_method: 'S256',
    ...changes,
  }
  return Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
}

const push = (
  form: Form = parameters(),
  as: Pick<ClientDocument, 'client_id' | 'client_secret'> = web,
): Promise<Answer> => post(`${server.issuer}/par`, form, { as })

async function requestUri(form: Form = parameters(), as = web): Promise<string> {
  const answer = await push(form, as)
  expect(answer.status, answer.text).toBe(201)
  return String(answer.body.request_uri)
}

function authorizeUrl(request_uri: string, more: Record<string, string> = {}, as = web): URL {
  const url = new URL(`${server.issuer}/authorize`)
  url.search = new URLSearchParams({ client_id: as.client_id, request_uri, ...more }).toString()
  return url
}

function redeem(code: string | null | undefined, as = web): Promise<Answer> {
  const form = {
    grant_type: 'authorization_code',
    code: code ?? '',
    redirect_uri: CALLBACK,
    code_verifier: VERIFIER,
  }
  return post(`${server.issuer}/token`, form, { as })
}

/** Expects an error page without a redirect. */
function expectErrorPage(page: Awaited<ReturnType<EndUser['open']>>, code?: string): void {
  expect(page.status).toBe(400)
  expect(page.leftTo).toBeUndefined()
  expect(page.$('input[name=password]')).toHaveLength(0)
  if (code) expect(page.$('dl').text()).toContain(code)
}

describe('a pushed authorization request', () => {
  test('returns a request_uri that is valid for a minute and completes the flow (RFC 9126 §2.2)', async () => {
    const answer = await push()
    expect(answer.status).toBe(201)
    expect(answer.body).toEqual({
      request_uri: expect.stringMatching(/^urn:ietf:params:oauth:request_uri:[\w-]{43,}$/),
      expires_in: 60,
    })
    expect(answer.headers.get('cache-control')).toBe('no-store')

    const request = await app.request({ scope: 'openid email' })
    const url = await buildAuthorizationUrlWithPAR(app.config, Object.fromEntries(request.url.searchParams))
    expect([...url.searchParams.keys()].toSorted()).toEqual(['client_id', 'request_uri'])
    const page = await new EndUser(server.issuer).signInAndAgree(url)
    expect(page.leftTo?.searchParams.get('iss')).toBe(server.issuer)
    const tokens = await request.redeem(page.leftTo)
    expect(tokens.scope).toBe('openid email')
  })

  test('works for public clients (RFC 9126 §2)', async () => {
    const url = authorizeUrl(await requestUri(parameters({ client_id: spa.client_id }), spa), {}, spa)
    const page = await new EndUser(server.issuer).signInAndAgree(url)
    expect((await redeem(page.leftTo?.searchParams.get('code'), spa)).status).toBe(200)
  })

  test('ignores other parameters in the URL (RFC 9126 §4, RFC 9101 §6.3)', async () => {
    const tampered = {
      scope: 'openid email profile',
      state: 'evil',
      redirect_uri: 'https://evil.example.test/',
      code_challenge: 'x'.repeat(43),
    }
    const page = await new EndUser(server.issuer).signInAndAgree(authorizeUrl(await requestUri(), tampered))
    expect(page.leftTo?.href).toMatch(CALLBACK)
    expect(page.leftTo?.searchParams.get('state')).toBe('the-state')
    expect(await redeem(page.leftTo?.searchParams.get('code'))).toMatchObject({
      status: 200,
      body: { scope: 'openid' },
    })
  })

  test.for<[string, string, () => Form]>([
    [
      'a request_uri inside',
      // OpenID Connect defines a separate error code.
      'request_uri_not_supported',
      () => parameters({ request_uri: 'urn:ietf:params:oauth:request_uri:x' }),
    ],
    [
      'a foreign redirect_uri',
      'invalid_request',
      () => parameters({ redirect_uri: 'https://evil.example.test/' }),
    ],
    ['no redirect_uri', 'invalid_request', () => parameters({ redirect_uri: undefined })],
    ['no code_challenge', 'invalid_request', () => parameters({ code_challenge: undefined })],
    ['the plain method', 'invalid_request', () => parameters({ code_challenge_method: 'plain' })],
    [
      'a challenge without its method',
      'invalid_request',
      () => parameters({ code_challenge_method: undefined }),
    ],
    [
      'a parameter twice',
      'invalid_request',
      () => [...(parameters() as [string, string][]), ['state', 'second']],
    ],
    ['another client_id in the form', 'invalid_request', () => parameters({ client_id: other.client_id })],
    ['prompt=none login', 'invalid_request', () => parameters({ prompt: 'none login' })],
    ['response_type=token', 'unsupported_response_type', () => parameters({ response_type: 'token' })],
    ['a request object', 'request_not_supported', () => parameters({ request: 'a.b.c' })],
    ['an unknown resource', 'invalid_target', () => parameters({ resource: 'https://x.example.test' })],
    ['a NUL byte', 'invalid_request', () => parameters({ state: 'a\0b' })],
  ])('with %s returns 400 %s (RFC 9126 §2.1, §2.3)', async ([, error, form]) => {
    const answer = await push(form())
    expect(answer).toMatchObject({ status: 400, body: { error } })
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
  })

  test('requires client authentication and the code grant (RFC 9126 §2)', async () => {
    for (const as of [
      { ...web, client_secret: 'wrong' },
      { client_id: web.client_id },
      { client_id: 'nobody' },
    ]) {
      expect(await push(parameters({ client_id: as.client_id }), as)).toMatchObject({
        status: 401,
        body: { error: 'invalid_client' },
      })
    }
    expect(await push(parameters({ client_id: service.client_id }), service)).toMatchObject({
      status: 400,
      body: { error: 'unauthorized_client' },
    })
    expect([404, 405]).toContain((await send(`${server.issuer}/par`)).status)
  })
})

describe('a request_uri', () => {
  test('is spent after the redirect to the app (RFC 9126 §4)', async () => {
    const url = authorizeUrl(await requestUri())
    const ada = new EndUser(server.issuer)
    const page = await ada.signInAndAgree(url)
    expect(page.leftTo?.searchParams.has('code')).toBe(true)
    for (const person of [ada, new EndUser(server.issuer)])
      expectErrorPage(await person.open(url), 'invalid_request_uri')
  })

  test('returns one code for ten concurrent uses (RFC 9126 §4)', async () => {
    const ada = new EndUser(server.issuer)
    await ada.signInAndAgree(authorizeUrl(await requestUri()))
    const url = authorizeUrl(await requestUri())
    const pages = await Promise.all(Array.from({ length: 10 }, () => ada.open(url)))
    const codes = pages.flatMap(({ leftTo }) => leftTo?.searchParams.get('code') ?? [])
    expect(codes).toHaveLength(1)
    for (const { status } of pages) expect(status).toBeLessThan(500)
    expect((await redeem(codes[0])).status).toBe(200)
  })

  test('returns one code for two people who opened it before it was spent (RFC 9126 §4)', async () => {
    const url = authorizeUrl(await requestUri())
    const people = [new EndUser(server.issuer), new EndUser(server.issuer)]
    const pages = await Promise.all(people.map((person) => person.signInAndAgree(url)))
    const codes = pages.filter(({ leftTo }) => leftTo?.searchParams.has('code'))
    expect(codes).toHaveLength(1)
  })

  test('is rejected after a minute (RFC 9126 §2.2)', async () => {
    const url = authorizeUrl(await requestUri())
    expectErrorPage(await later(61, () => new EndUser(server.issuer).open(url)), 'invalid_request_uri')
  })

  test('of another client is rejected (RFC 9126 §2.2)', async () => {
    const url = authorizeUrl(await requestUri(), {}, other)
    expectErrorPage(await new EndUser(server.issuer).open(url))
  })

  test.for([
    'urn:ietf:params:oauth:request_uri:unknown',
    'urn:ietf:params:oauth:request_uri:',
    "urn:ietf:params:oauth:request_uri:'; drop table oidc_artifact; --",
    'urn:ietf:params:oauth:request_uri:%2e%2e',
    'https://app.example.test/request.jwt',
    'http://169.254.169.254/',
    'file:///etc/passwd',
  ])(
    '%s that was not pushed is rejected without a request to it (RFC 9126 §2.2, CVE-2020-10770)',
    async (uri) => {
      const more = { redirect_uri: CALLBACK, response_type: 'code' }
      const page = await new EndUser(server.issuer).open(authorizeUrl(uri, more))
      expect(page.status).toBeLessThan(500)
      expect(page.$('input[name=password]')).toHaveLength(0)
      if (page.leftTo) {
        expect(page.leftTo.href).toMatch(CALLBACK)
        expect(page.leftTo.searchParams.get('error')).toMatch(
          /^(invalid_request_uri|request_uri_not_supported)$/,
        )
      } else expect(page.status).toBe(400)
    },
  )

  // Another test searches the files of the embedded database.
  test.skipIf(isPglite)('is sealed in the database (RFC 9126 §7.1)', async () => {
    const uri = await requestUri(parameters({ state: 'a-state-to-look-for' }))
    const dump = await server.dump()
    expect(dump).not.toContain(uri.split(':').at(-1))
    expect(dump).not.toContain('a-state-to-look-for')
    expect(dump).not.toContain(Buffer.from('a-state-to-look-for').toString('hex'))
    expect(server.logged()).not.toContain(uri.split(':').at(-1))
  })
})
