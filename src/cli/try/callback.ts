import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const PAGE = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Back at the app</title></head><body><h1>You can close this tab</h1><p>The terminal has the rest.</p></body></html>`

/** A loopback redirect URI (RFC 8252 §7.3): waits for the one request that carries the right state. */
export type Callback = Readonly<{
  redirectUri: string
  close(): void
  arrival(state: string, signal: AbortSignal): Promise<URL>
}>

/** Listens on a free port of 127.0.0.1. */
export async function openCallback(): Promise<Callback> {
  const server = createServer()
  await new Promise<void>((done, fail) => server.once('error', fail).listen(0, '127.0.0.1', done))
  const redirectUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/callback`

  return {
    redirectUri,
    close() {
      server.close()
      server.closeAllConnections()
    },
    arrival: (state, signal) =>
      new Promise((done, fail) => {
        signal.addEventListener(
          'abort',
          () => fail(new Error('Nobody came back from the browser in time.')),
          { once: true },
        )
        server.on('request', (request, response) => {
          const url = URL.parse(request.url ?? '', redirectUri)
          if (
            request.method !== 'GET' ||
            url?.pathname !== '/callback' ||
            url.searchParams.get('state') !== state
          ) {
            response.writeHead(404).end()
            return
          }
          response.writeHead(200, {
            'content-type': 'text/html; charset=utf-8',
            'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
            'cache-control': 'no-store',
            'referrer-policy': 'no-referrer',
          })
          response.end(PAGE, () => done(url))
        })
      }),
  }
}
