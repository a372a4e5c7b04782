import { createServer, type ServerResponse } from 'node:http'
import { createRemoteJWKSet, decodeJwt, type JWTPayload, type JWTVerifyResult, jwtVerify } from 'jose'
import { expect, vi } from 'vitest'
import type { TestClient } from './code-flow.ts'
import { freePort } from './database-server.ts'
import type { TestServer } from './harness.ts'

/** A logout token as it arrived at one of the paths. */
type Received = Readonly<{ path: string; token: string; claims: JWTPayload; contentType: string }>

/** How a path answers; the default is 200. */
type Behaviour = (response: ServerResponse, attempt: number) => void

/** Answers with a status, and a `Location` that the server must not follow. */
export const answer =
  (status: number): Behaviour =>
  (response) =>
    void response.writeHead(status, { location: '/elsewhere' }).end()
export const hang: Behaviour = () => {}
export const breakOff: Behaviour = (response) => void response.destroy()
export const neverEnd: Behaviour = (response) => void response.writeHead(500).write('x')

/** Applies a behaviour to the first attempt and answers 200 to later ones. */
export const firstly =
  (behaviour: Behaviour): Behaviour =>
  (response, attempt) =>
    (attempt === 1 ? behaviour : answer(200))(response, attempt)

export type LogoutReceiver = Readonly<{
  url: string
  /** The logout tokens of a path, in order of arrival. */
  at: (path: string) => Received[]
  /** Waits for a number of logout tokens at a path. */
  expect: (path: string, count?: number, seconds?: number) => Promise<Received[]>
  behave: (path: string, behaviour: Behaviour) => void
  open: () => Promise<void>
  close: () => Promise<void>
}>

/** A local server with the back-channel logout endpoint of each app at a separate path. */
export async function startLogoutReceiver(): Promise<LogoutReceiver> {
  const received: Received[] = []
  const behaviours = new Map<string, Behaviour>()
  const port = await freePort()
  const at = (path: string) => received.filter((one) => one.path === path)

  const server = createServer((request, response) => {
    const path = request.url ?? ''
    let body = ''
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString()
    })
    request.on('end', () => {
      const token = new URLSearchParams(body).get('logout_token') ?? ''
      const contentType = request.headers['content-type'] ?? ''
      received.push({ path, token, contentType, claims: token === '' ? {} : decodeJwt(token) })
      const behave = behaviours.get(path) ?? answer(200)
      behave(response, at(path).length)
    })
  })
  const open = () => new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
  await open()

  return {
    url: `http://127.0.0.1:${port}`,
    at,
    async expect(path, count = 1, seconds = 5) {
      await vi.waitFor(() => expect(at(path).length, path).toBeGreaterThanOrEqual(count), {
        timeout: seconds * 1000,
        interval: 20,
      })
      return at(path)
    },
    behave: (path, behaviour) => void behaviours.set(path, behaviour),
    open,
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

/** Verifies a logout token as an app does (OpenID Connect Back-Channel Logout 1.0 §2.6). */
export async function verifyLogoutToken(
  server: Pick<TestServer, 'issuer' | 'url'>,
  { client }: Pick<TestClient, 'client'>,
  { token }: Pick<Received, 'token'>,
): Promise<JWTVerifyResult> {
  return await jwtVerify(token, createRemoteJWKSet(new URL(`${server.url}/jwks`)), {
    issuer: server.issuer,
    audience: client.client_id,
    typ: 'logout+jwt',
    requiredClaims: ['iat', 'exp', 'jti', 'events', 'sub'],
  })
}
