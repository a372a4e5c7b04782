import { createHash } from 'node:crypto'
import { CALLBACK, type Client, SCOPE, type Target } from '../contenders/contender.ts'
import { APP_SERVER } from './client-address.ts'
import type { Answer, Request } from './closed-loop.ts'

/** One verifier for all requests: generating it is work of the app, not of the server. */
const VERIFIER = 'benchmark-verifier-of-forty-three-characters-and-more'
const CHALLENGE = createHash('sha256').update(VERIFIER).digest('base64url')

/** An authorization request (RFC 6749 §4.1.1). The contenders without a login page sign in by `login_hint`. */
export function authorizePath(
  { clients }: Target,
  { username, offline = false }: { username: string; offline?: boolean },
): string {
  const query = new URLSearchParams({
    client_id: clients.web.id,
    redirect_uri: CALLBACK,
    response_type: 'code',
    scope: offline ? `${SCOPE} offline_access` : SCOPE,
    state: 'benchmark-state',
    code_challenge: CHALLENGE,
    code_challenge_method: 'S256',
    login_hint: username,
    ...(offline ? { prompt: 'consent' } : {}),
  })
  return `/authorize?${query}`
}

/** @param from the header with the client's address. */
export function formRequest(
  path: string,
  client: Client,
  form: Record<string, string>,
  from: Record<string, string> = APP_SERVER,
): Request {
  const headers: Record<string, string> = { ...from, 'content-type': 'application/x-www-form-urlencoded' }
  if (client.secret !== undefined) headers.authorization = basic(client)
  const parameters = client.secret === undefined ? { ...form, client_id: client.id } : form
  return { method: 'POST', path, headers, body: new URLSearchParams(parameters).toString() }
}

export function redeemCode({ clients }: Target, code: string): Request {
  return formRequest('/token', clients.web, {
    grant_type: 'authorization_code',
    code,
    redirect_uri: CALLBACK,
    code_verifier: VERIFIER,
  })
}

export function redeemRefreshToken({ clients }: Target, refreshToken: string): Request {
  return formRequest('/token', clients.web, { grant_type: 'refresh_token', refresh_token: refreshToken })
}

export function introspect({ clients }: Target, token: string): Request {
  return formRequest('/introspect', clients.web, { token, token_type_hint: 'access_token' })
}

/** The code in a redirect back to the app; undefined when there is none. */
export function codeOf({ location }: Pick<Answer, 'location'>): string | undefined {
  return URL.parse(location)?.searchParams.get('code') ?? undefined
}

export function expectStatus({ status, text }: Answer, expected: number): string | undefined {
  return status === expected ? undefined : `${status} instead of ${expected}: ${text}`
}

/** @see RFC 6749 §2.3.1: both halves are form-encoded first. */
function basic({ id, secret = '' }: Client): string {
  const [user, password] = [id, secret].map(encodeURIComponent)
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}
