import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestClient, expectTokenError, type TestClient, userinfoStatus } from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { rows, statuses } from './support/http.ts'

let server: TestServer
let web: TestClient
let spa: TestClient
let exempt: TestClient
/** A signed-in browser with consent for every app. */
let ada: EndUser

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  web = await createTestClient(server, { first_party: true })
  spa = await createTestClient(server, { type: 'spa', client_name: 'Chart', first_party: true })
  exempt = await createTestClient(server, { client_name: 'Old App', first_party: true, require_pkce: false })
  ada = new EndUser(server.issuer)
  for (const app of [web, spa, exempt]) await app.getTokens({}, ada)
})
afterAll(() => server?.remove())

const S256 = { code_challenge_method: 'S256' }

async function answer(app: TestClient, change: Record<string, string | undefined>): Promise<URLSearchParams> {
  const { url } = await app.request({ prompt: 'none' })
  for (const [name, value] of Object.entries(change)) {
    if (value === undefined) url.searchParams.delete(name)
    else url.searchParams.set(name, value)
  }
  const { leftTo, html } = await ada.open(url)
  if (!leftTo) throw new Error(html.slice(0, 2000))
  expect(leftTo.searchParams.get('state')).toBe(url.searchParams.get('state'))
  expect(leftTo.searchParams.get('iss')).toBe(server.issuer)
  return leftTo.searchParams
}

describe('a code_challenge', () => {
  const faults: [what: string, change: Record<string, string | undefined>][] = [
    ['none at all', { code_challenge: undefined, code_challenge_method: undefined }],
    ['a method without a challenge', { code_challenge: undefined }],
    ['a challenge without a method, which would mean plain', { code_challenge_method: undefined }],
    ['plain', { code_challenge_method: 'plain' }],
    [
      'plain with a challenge that fits its verifier',
      { code_challenge: 'v'.repeat(43), code_challenge_method: 'plain' },
    ],
    ['an unknown method', { code_challenge_method: 's256' }],
    ['an empty challenge', { code_challenge: '', ...S256 }],
    ['a challenge of 42 characters', { code_challenge: 'c'.repeat(42), ...S256 }],
    ['a challenge of 129 characters', { code_challenge: 'c'.repeat(129), ...S256 }],
    ['a challenge in padded base64', { code_challenge: `${'c'.repeat(42)}=`, ...S256 }],
    ['a challenge with letters beyond ASCII', { code_challenge: `${'c'.repeat(42)}é`, ...S256 }],
  ]
  const clients: [type: string, app: () => TestClient][] = [
    ['web', () => web],
    ['spa', () => spa],
  ]

  test.for(
    clients.flatMap(([type, app]) => faults.map(([what, change]) => [what, type, app, change] as const)),
  )('%s from a %s client is rejected (RFC 7636 §4.3, §4.4.1)', async ([, , app, change]) => {
    const sent = await answer(app(), change)
    expect(sent.get('error')).toBe('invalid_request')
    expect(sent.get('code')).toBeNull()
  })

  test('is required also with a session and a consent, against downgrades (RFC 9700 §4.8)', async () => {
    expect((await answer(web, {})).get('code')).toBeTruthy()
    const stripped = await answer(web, { code_challenge: undefined, code_challenge_method: undefined })
    expect(stripped.get('error')).toBe('invalid_request')
  })
})

describe('a code_verifier', () => {
  const wrong: [what: string, verifier: string | undefined, error: string][] = [
    ['another one', 'w'.repeat(43), 'invalid_grant'],
    ['none', undefined, 'invalid_grant'],
    ['an empty one', '', 'invalid_grant'],
    ['one of 42 characters', 'v'.repeat(42), 'invalid_request'],
    ['one of 129 characters', 'v'.repeat(129), 'invalid_request'],
    ['one outside the alphabet', `${'v'.repeat(42)}+`, 'invalid_request'],
  ]

  test.for(wrong)(
    '%s is rejected, and the code stays valid for its client (RFC 7636 §4.6)',
    async ([, verifier, error]) => {
      for (const app of [web, spa]) {
        const { code_verifier: right = '', ...form } = (await app.getCode({}, ada)).form
        const refused = await app.token(verifier === undefined ? form : { ...form, code_verifier: verifier })
        expectTokenError(refused, error)
        const accepted = await app.token({ ...form, code_verifier: right })
        expect(accepted.status, accepted.text).toBe(200)
        expect(await userinfoStatus(server, String(accepted.body.access_token))).toBe(200)
      }
    },
  )

  test('that is wrong for the fifth time revokes the code, with an audit event (RFC 7636 §4.6)', async () => {
    for (const [misses, status] of [
      [4, 200],
      [5, 400],
    ] as const) {
      const { form } = await spa.getCode({}, ada)
      for (let miss = 0; miss < misses; miss++)
        expectTokenError(await spa.token({ ...form, code_verifier: 'w'.repeat(43) }))
      const answer = await spa.token(form)
      expect(answer.status, answer.text).toBe(status)
      if (status === 400) expectTokenError(answer)
    }
    // The consent is unchanged.
    expect((await spa.token((await spa.getCode({}, ada)).form)).status).toBe(200)
    if (isPglite) return
    const recorded = await rows<{ client_id: string }>(
      server,
      `select client_id from event where type = 'authorization_code.burnt'`,
    )
    expect(recorded).toEqual([{ client_id: spa.client.client_id }])
  })

  test('that is wrong in many concurrent requests revokes the code over all instances', async () => {
    const urls = isPglite ? [server.url] : [server.url, (await server.startAnother()).url]
    const { form } = await spa.getCode({}, ada)
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        spa.token({ ...form, code_verifier: 'w'.repeat(43) }, { at: urls[index % urls.length] ?? '' }),
      ),
    )
    expect(statuses(answers)).toEqual({ 400: 12 })
    expectTokenError(await spa.token(form))
  })

  test('of another client revokes nothing, however often (RFC 6749 §4.1.3)', async () => {
    const { form } = await web.getCode({}, ada)
    for (let miss = 0; miss < 8; miss++)
      expectTokenError(await spa.token({ ...form, client_id: spa.client.client_id }))
    expect((await web.token(form)).status).toBe(200)
  })

  test('that is malformed does not count as a wrong one (RFC 7636 §4.1)', async () => {
    const { form } = await spa.getCode({}, ada)
    for (let miss = 0; miss < 8; miss++)
      expectTokenError(await spa.token({ ...form, code_verifier: 'short' }), 'invalid_request')
    expect((await spa.token(form)).status).toBe(200)
  })

  test('that equals the challenge is rejected (RFC 7636 §4.6)', async () => {
    const { form, request } = await spa.getCode({}, ada)
    const challenge = request.url.searchParams.get('code_challenge') ?? ''
    expectTokenError(await spa.token({ ...form, code_verifier: challenge }))
  })

  test('of another request of the client is rejected (RFC 9700 §4.5)', async () => {
    const [first, second] = [await spa.getCode({}, ada), await spa.getCode({}, ada)]
    expectTokenError(await spa.token({ ...first.form, code_verifier: second.request.verifier }))
  })
})

describe('a client registered without PKCE', () => {
  const without = { code_challenge: undefined, code_challenge_method: undefined }

  test('gets tokens without a challenge (OIDC Core §3.1.2.1)', async () => {
    const { form } = await exempt.getCode({}, ada)
    const code = (await answer(exempt, without)).get('code') ?? ''
    const { code_verifier, ...rest } = form
    expect((await exempt.token({ ...rest, code })).status).toBe(200)
  })

  test('must send the verifier when it sent a challenge (RFC 9700 §2.1.1)', async () => {
    const { code_verifier, ...form } = (await exempt.getCode({}, ada)).form
    expectTokenError(await exempt.token(form))
  })

  test('is rejected with a verifier for a code without a challenge: a downgrade (RFC 9700 §4.8.2)', async () => {
    const { form } = await exempt.getCode({}, ada)
    const code = (await answer(exempt, without)).get('code') ?? ''
    expectTokenError(await exempt.token({ ...form, code }))
  })

  test('cannot use the method plain (RFC 9700 §2.1.1)', async () => {
    expect((await answer(exempt, { code_challenge_method: 'plain' })).get('error')).toBe('invalid_request')
  })

  test.for(['spa', 'native'])(
    'is never public: rejects the registration of a %s client (RFC 9700 §2.1.1)',
    async (type) => {
      const redirect = type === 'native' ? 'http://127.0.0.1/callback' : 'https://app.example.test/callback'
      await expect(
        server.admin.clients.create({
          type,
          client_name: 'X',
          redirect_uris: [redirect],
          require_pkce: false,
        }),
      ).rejects.toThrow(/require_pkce/)
    },
  )
})
