import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const PATH = '/callback'
const REQUEST_MILLISECONDS = 5_000
const MAX_CONNECTIONS = 32

const HEADERS = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy':
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
  'X-Content-Type-Options': 'nosniff',
  // The URL of this page contains the authorization code.
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
  Connection: 'close',
}

/** Waits at a redirect URI for the authorization response. */
export type Callback = Readonly<{
  redirectUri: string
  /** The URL of the authorization response, after the page was sent. Never rejects. */
  response: Promise<URL>
  close: () => void
}>

/**
 * Listens on the loopback interface for one authorization response, and answers every other request with 404.
 *
 * @param state identifies the response.
 * @param port 0 for a free port.
 * @see RFC 8252 §7.3, §8.3
 */
export async function listenForCallback({ state, port }: { state: string; port: number }): Promise<Callback> {
  let redirectUri = ''
  let isAnswered = false
  const { promise: response, resolve } = Promise.withResolvers<URL>()

  const server = createServer(
    { requestTimeout: REQUEST_MILLISECONDS, connectionsCheckingInterval: REQUEST_MILLISECONDS },
    (request, reply) => {
      const url = isAnswered ? undefined : toResponse(request, redirectUri, state)
      if (!url) return answer(reply, 404, 'Not found')
      isAnswered = true
      reply.once('close', () => resolve(url))
      return answer(
        reply,
        200,
        url.searchParams.has('error') ? 'The sign-in failed' : 'The sign-in is complete',
      )
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  server.listen(port, '127.0.0.1')
  await once(server, 'listening').catch((fault: NodeJS.ErrnoException) => {
    throw new Error(
      `Cannot listen on 127.0.0.1:${port}: ${fault.code ?? fault.message}. Choose another --port.`,
    )
  })
  redirectUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}${PATH}`

  return {
    redirectUri,
    response,
    close: () => {
      server.close()
      // Idle connections of the browser would keep the process alive.
      server.closeAllConnections()
    },
  }
}

function toResponse({ method, url: target }: IncomingMessage, redirectUri: string, state: string) {
  if (method !== 'GET' || !target?.startsWith(`${PATH}?`)) return undefined
  const url = URL.parse(target, redirectUri)
  const states = url?.searchParams.getAll('state')
  return url && states?.length === 1 && states[0] === state ? url : undefined
}

/** The page contains nothing of the request (XSS). */
function answer(reply: ServerResponse, status: number, title: string): void {
  reply.writeHead(status, HEADERS).end(
    `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<h1>${title}</h1>
${status === 200 ? '<p>You can close this tab. The terminal shows the rest.</p>' : ''}
</html>
`,
  )
}
