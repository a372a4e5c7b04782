import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { inject } from 'vitest'

/**
 * The arguments are our own: the package's list has `--single-process`, under which closing a page ends the browser,
 * and `--disable-web-security`, which hides what a Content-Security-Policy forbids. Root has no sandbox.
 */
const ARGUMENTS = ['--no-sandbox', '--headless=shell', '--disable-gpu']

export type TestBrowser = Readonly<{
  /** A page with cookies of its own. */
  open: (options?: BrowserContextOptions) => Promise<Tab>
  close: () => Promise<void>
}>

export type Tab = Readonly<{
  page: Page
  /** What the browser said against the pages so far: policy violations, failed loads, scripts that threw. */
  consoleErrors: readonly string[]
  /** Every address that was asked for, redirects included. */
  requested: readonly string[]
  close: () => Promise<void>
}>

/** Starts the Chromium that `chromium.ts` has unpacked. */
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
    // An error page is an answer with its status, which Chromium mentions; a part of a page that is missing is not.
    const isPageItself = message.location().url === page.url() && /status of [45]\d\d/.test(message.text())
    if (message.type() === 'error' && !isPageItself) consoleErrors.push(message.text())
  })
  page.on('pageerror', (error) => consoleErrors.push(error.message))
  context.on('request', (request) => requested.push(request.url()))
  return { page, consoleErrors, requested, close: () => context.close() }
}

/** What reached the app: a redirect's query, or the form that a page posted. */
export type Arrival = Readonly<{ method: string; url: URL; body: string }>

export type CallbackServer = Readonly<{
  /** Of another origin than the authorization server, as apps are. */
  origin: string
  /** The same, as native apps name it (RFC 8252 §7.3). */
  loopbackOrigin: string
  arrivals: readonly Arrival[]
  close: () => Promise<void>
}>

export const APP_TITLE = 'Back at the app'

/**
 * The app that people come back to: takes whatever arrives. `/onward` sends them on to its other origin, as apps do
 * whose server and pages live apart; `/frame?of=…` shows another page in a frame.
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
