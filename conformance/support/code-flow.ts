import { expect } from 'vitest'
import type { ClientDocument } from '../../src/admin/clients.ts'
import { EndUser } from './end-user.ts'
import type { TestServer } from './harness.ts'
import { type Answer, post, send } from './http.ts'
import {
  type AuthorizationRequest,
  CALLBACK,
  createRelyingParty,
  type RelyingParty,
} from './relying-party.ts'

type Registered = Pick<ClientDocument, 'client_id' | 'client_secret'>

/** A registered client that can also send requests which its library would refuse to send. */
export type TestClient = RelyingParty &
  Readonly<{
    client: Registered
    token(form: Record<string, string>, options?: { at?: string; as?: Registered }): Promise<Answer>
    refresh(refreshToken: string, more?: Record<string, string>, options?: { at?: string }): Promise<Answer>
    /** Completes an authorization request in the browser. */
    getCode(parameters?: Record<string, string>, user?: EndUser, username?: string): Promise<Approval>
    getTokens(
      parameters?: Record<string, string>,
      user?: EndUser,
      username?: string,
    ): Promise<Approval & Tokens>
    /** Sends an authorization request with `prompt=none`. @returns the parameters of the redirect. */
    authorizeSilently(user: EndUser, parameters?: Record<string, string>): Promise<URLSearchParams>
  }>

export type Approval = Readonly<{
  user: EndUser
  request: AuthorizationRequest
  callback: URL
  code: string
  /** The form of the token request that redeems the code. */
  form: Record<string, string>
}>

export type Tokens = Readonly<{ accessToken: string; refreshToken: string; idToken: string; scope: string }>

/** Registers a client. */
export async function createTestClient(
  server: TestServer,
  registration: Record<string, unknown> = {},
): Promise<TestClient> {
  const document = await server.admin.clients.create({
    type: 'web',
    client_name: 'Harbour Dashboard',
    redirect_uris: [CALLBACK],
    ...registration,
  })
  const [redirectUri = CALLBACK] = document.redirect_uris as string[]
  const app = await createRelyingParty(server.issuer, document, { redirectUri })

  const token: TestClient['token'] = (form, { at = server.url, as: caller = document } = {}) =>
    post(`${at}/token`, form, { as: caller })

  const getCode: TestClient['getCode'] = async (
    parameters = {},
    user = new EndUser(server.issuer),
    username = 'ada',
  ) => {
    const request = await app.request(parameters)
    const page = await user.signInAndAgree(request.url, { username })
    const code = page.leftTo?.searchParams.get('code')
    if (!page.leftTo || !code) throw new Error(`no code: ${page.leftTo?.href ?? page.html.slice(0, 2000)}`)
    const form = {
      grant_type: 'authorization_code',
      code,
      redirect_uri: redirectUri,
      code_verifier: request.verifier,
    }
    return { user, request, callback: page.leftTo, code, form }
  }

  return {
    ...app,
    client: document,
    token,
    getCode,
    refresh: (refreshToken, more = {}, options = {}) =>
      token({ grant_type: 'refresh_token', refresh_token: refreshToken, ...more }, options),

    async getTokens(parameters, user, username) {
      const approval = await getCode(parameters, user, username)
      const answer = await token(approval.form)
      expect(answer.status, answer.text).toBe(200)
      return { ...approval, ...tokensOf(answer) }
    },

    async authorizeSilently(user, parameters = {}) {
      const { url } = await app.request({ prompt: 'none', ...parameters })
      const page = await user.open(url)
      if (!page.leftTo) throw new Error(`a page was shown (${page.status}): ${page.html.slice(0, 500)}`)
      expect(page.leftTo.searchParams.get('iss')).toBe(server.issuer)
      expect(page.leftTo.searchParams.get('state')).toBe(url.searchParams.get('state'))
      return page.leftTo.searchParams
    },
  }
}

export function tokensOf({ body }: Pick<Answer, 'body'>): Tokens {
  const text = (name: string) => (typeof body[name] === 'string' ? body[name] : '')
  return {
    accessToken: text('access_token'),
    refreshToken: text('refresh_token'),
    idToken: text('id_token'),
    scope: text('scope'),
  }
}

/** Expects a token response that no cache stores (RFC 6749 §5.1). @returns its tokens. */
export function expectRefreshed(answer: Answer): Tokens {
  expect(answer.status, answer.text).toBe(200)
  expect(answer.headers.get('cache-control')).toBe('no-store')
  return tokensOf(answer)
}

/** The status of a userinfo request: 200 for an active token, 401 for any other. */
export async function userinfoStatus(server: Pick<TestServer, 'url'>, accessToken: string): Promise<number> {
  const headers = { authorization: `Bearer ${accessToken}` }
  return (await send(`${server.url}/userinfo`, { headers })).status
}

/** Expects a JSON error of the token endpoint that no cache stores (RFC 6749 §5.2). */
export function expectTokenError(answer: Answer, error = 'invalid_grant', status = 400): void {
  expect(answer, answer.text).toMatchObject({ status, body: { error } })
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
  expect(answer.headers.get('cache-control')).toBe('no-store')
  for (const name of ['access_token', 'refresh_token', 'id_token'])
    expect(answer.body).not.toHaveProperty(name)
}

/** Expects an error page with the security headers, and no redirect to the client (RFC 6749 §4.1.2.1). */
export function expectErrorPage(
  { status, headers, text }: Pick<Answer, 'status' | 'headers' | 'text'>,
  expected = 400,
): void {
  expect(status, text.slice(0, 2000)).toBe(expected)
  expect(headers.get('location')).toBeNull()
  expect(headers.get('content-type')).toMatch(/^text\/html/)
  expect(headers.get('cache-control')).toBe('no-store')
  expect(headers.get('content-security-policy')).toMatch(/frame-ancestors 'none'/)
  expect(headers.get('x-frame-options')).toBe('DENY')
  expect(headers.get('x-content-type-options')).toBe('nosniff')
  expect(headers.get('referrer-policy')).toBe('no-referrer')
  expect(text).not.toMatch(/app\.example\.test|http-equiv="?refresh/i)
}

/** A browser with a copy of another's cookies; its requests may go to another instance. */
export function cloneBrowser(user: EndUser, target = user.target): EndUser {
  return new EndUser(user.origin, target, user.jar.cloneSync())
}
