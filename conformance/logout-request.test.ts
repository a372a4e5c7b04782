import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { later } from './support/clock.ts'
import {
  type Approval,
  createTestClient,
  expectErrorPage,
  type TestClient,
  type Tokens,
} from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'

const SIGNED_OUT = 'https://app.example.test/signed-out'
const SIGNED_OUT_OTHER = 'https://other.example.test/signed-out'

let server: TestServer
let app: TestClient
let other: TestClient
let ada: EndUser
let tokens: Approval & Tokens

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  app = await createTestClient(server, { first_party: true, post_logout_redirect_uris: [SIGNED_OUT] })
  other = await createTestClient(server, {
    client_name: 'Other App',
    first_party: true,
    post_logout_redirect_uris: [SIGNED_OUT_OTHER],
  })
})
afterAll(() => server?.remove())
beforeEach(async () => {
  ada = new EndUser(server.issuer)
  tokens = await app.getTokens({}, ada)
})

/** The URL of a logout request (RP-Initiated Logout §2). */
function logoutUrl(parameters: Record<string, string> = {}): URL {
  const url = new URL(app.config.serverMetadata().end_session_endpoint ?? '')
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  return url
}

const openLogout = (parameters: Record<string, string> = {}, user = ada) => user.open(logoutUrl(parameters))

const isSignedIn = async () => (await app.authorizeSilently(ada)).has('code')

describe('a post_logout_redirect_uri', () => {
  test.for([
    ['an unknown URI', 'https://evil.test/signed-out'],
    ['a slash at the end', `${SIGNED_OUT}/`],
    ['an added query', `${SIGNED_OUT}?x=1`],
    ['a fragment', `${SIGNED_OUT}#x`],
    ['the default port', 'https://app.example.test:443/signed-out'],
    ['upper case', 'https://app.example.test/Signed-Out'],
    ['the redirect URI of sign-in', 'https://app.example.test/callback'],
    ['that of another app', SIGNED_OUT_OTHER],
    ['a path that climbs', 'https://app.example.test/x/../signed-out'],
    ['javascript', 'javascript:alert(1)'],
  ])(
    'that is %s is not registered, and is not redirected to: %s (RP-Initiated Logout §3)',
    async ([, uri]) => {
      for (const who of [{ id_token_hint: tokens.idToken }, { client_id: app.client.client_id }]) {
        const { status, headers, html, leftTo } = await openLogout({
          ...who,
          post_logout_redirect_uri: uri ?? '',
        })
        expect(leftTo).toBeUndefined()
        expectErrorPage({ status, headers, text: html })
      }
      expect(await isSignedIn()).toBe(true)
    },
  )

  test('is not redirected to without a client (RP-Initiated Logout §3)', async () => {
    const done = await ada.submit(await openLogout({ post_logout_redirect_uri: SIGNED_OUT }), {}, 'approve')
    expect(done.leftTo).toBeUndefined()
    expect(done.html).toMatch(/signed out/i)
  })
})

describe('an id_token_hint', () => {
  test('may have expired (RP-Initiated Logout §2)', async () => {
    await later(20 * 60, async () => {
      const hint = { id_token_hint: tokens.idToken, post_logout_redirect_uri: SIGNED_OUT }
      const { leftTo } = await ada.submit(await openLogout(hint), {}, 'approve')
      expect(leftTo?.href).toBe(SIGNED_OUT)
      expect(await isSignedIn()).toBe(false)
    })
  })

  const claimsOf = ({ idToken }: Tokens): Record<string, unknown> =>
    JSON.parse(Buffer.from(idToken.split('.')[1] ?? '', 'base64url').toString())

  test.for<[what: string, forge: (real: Tokens) => string | Promise<string>]>([
    ['unsigned', (real) => new UnsecuredJWT(claimsOf(real)).encode()],
    [
      'signed by a stranger',
      async (real) => {
        const { privateKey } = await generateKeyPair('RS256')
        return await new SignJWT(claimsOf(real)).setProtectedHeader({ alg: 'RS256' }).sign(privateKey)
      },
    ],
    [
      'signed with the key in its own header',
      async (real) => {
        const { privateKey, publicKey } = await generateKeyPair('RS256')
        const header = { alg: 'RS256', jwk: await exportJWK(publicKey) }
        return await new SignJWT(claimsOf(real)).setProtectedHeader(header).sign(privateKey)
      },
    ],
    [
      'signed with the client secret',
      (real) =>
        new SignJWT(claimsOf(real))
          .setProtectedHeader({ alg: 'HS256' })
          .sign(new TextEncoder().encode(app.client.client_secret)),
    ],
    ['changed', ({ idToken }) => idToken.replace(/\.(.)/, (_, first) => `.${first === 'e' ? 'f' : 'e'}`)],
    ['without its signature', ({ idToken }) => idToken.replace(/[^.]+$/, '')],
    ['an access token', ({ accessToken }) => accessToken],
    ['no token', () => 'hint'],
  ])('that is %s is rejected without a redirect (RFC 8725 §3.1)', async ([, forge]) => {
    const id_token_hint = await forge(tokens)
    const { status, headers, html } = await openLogout({
      id_token_hint,
      post_logout_redirect_uri: SIGNED_OUT,
    })
    expectErrorPage({ status, headers, text: html })
    expect(await isSignedIn()).toBe(true)
  })

  test('of a client other than client_id is rejected (RP-Initiated Logout §2)', async () => {
    const { status, headers, html } = await openLogout({
      id_token_hint: tokens.idToken,
      client_id: other.client.client_id,
      post_logout_redirect_uri: SIGNED_OUT_OTHER,
    })
    expectErrorPage({ status, headers, text: html })
    expect(await isSignedIn()).toBe(true)
  })
})
