import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { inject } from 'vitest'

/**
 * Replaces the package's arguments: under its `--single-process`, closing a page ends the browser, and its
 * `--disable-web-security` hides violations of the Content-Security-Policy. Chromium has no sandbox for root.
 */
const ARGUMENTS = ['--no-sandbox', '--headless=shell', '--disable-gpu']

export type TestBrowser = Readonly<{
  /** Opens a page in a new cookie jar. */
  open: (options?: BrowserContextOptions) => Promise<Tab>
  close: () => Promise<void>
}>

export type Tab = Readonly<{
  page: Page
  /** Errors of the console so far: policy violations, failed loads, uncaught exceptions of scripts. */
  consoleErrors: readonly string[]
  /** The URLs of all requests, redirects included. */
  requested: readonly string[]
  close: () => Promise<void>
}>

/** Starts the Chromium that `chromium.ts` unpacked. */
export async function launchBrowser(): Promise<TestBrowser> {
  const { executablePath, env } = inject('chromium')
  const browser = await chromium.launch({
    args: ARGUMENTS,
    executablePath,
    env: { ...process.env, ...env },
  })
  return {
    open: (options) => openTab(browser, options),
    close: () => browser.close(),
  }
}

async function openTab(browser: Browser, options: BrowserContextOptions = {}): Promise<Tab> {
  const context = await browser.newContext({ viewport: { width: 360, height: 740 }, ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(10_000)
  const consoleErrors: string[] = []
  const requested: string[] = []
  page.on('console', (message) => {
    // Chromium reports the status of an error page, too; only missing parts of a page are errors.
    const isPageItself = message.location().url === page.url() && /status of [45]\d\d/.test(message.text())
    if (message.type() === 'error' && !isPageItself) consoleErrors.push(message.text())
  })
  page.on('pageerror', (error) => consoleErrors.push(error.message))
  context.on('request', (request) => requested.push(request.url()))
  return { page, consoleErrors, requested, close: () => context.close() }
}

/** A request at the app's callback: the query of a redirect, or a posted form. */
type Arrival = Readonly<{ method: string; url: URL; body: string }>

export type CallbackServer = Readonly<{
  /** A different origin from the authorization server's, as for real apps. */
  origin: string
  /** The same server by its loopback address, as native apps register it (RFC 8252 §7.3). */
  loopbackOrigin: string
  arrivals: readonly Arrival[]
  close: () => Promise<void>
}>

const APP_TITLE = 'Back at the app'

/**
 * An app that accepts every callback. `/onward` redirects to its other origin, like an app whose server and pages have
 * different origins; `/frame?of=…` embeds a page in a frame.
 */
export async function startCallbackServer(): Promise<CallbackServer> {
  const arrivals: Arrival[] = []
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', `http://${request.headers.host}`)
    if (isCallback(request)) {
      arrivals.push({ method: request.method ?? '', url, body: await text(request) })
    }
    if (url.pathname === '/onward') {
      response.writeHead(303, { location: `http://127.0.0.1:${url.port}/callback${url.search}` }).end()
      return
    }
    const framed = url.pathname === '/frame' ? `<iframe src="${url.searchParams.get('of')}"></iframe>` : ''
    response.setHeader('content-type', 'text/html; charset=utf-8')
    response.end(`<!doctype html><html lang="en"><title>${APP_TITLE}</title>${framed}</html>`)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return {
    origin: `http://localhost:${port}`,
    loopbackOrigin: `http://127.0.0.1:${port}`,
    arrivals,
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

function isCallback({ url = '' }: IncomingMessage): boolean {
  return url.startsWith('/callback') || url.startsWith('/signed-out')
}
