/**
 * Room http/listener/: parses and bounds connections and requests before the application: pipelining, limits on size,
 * time and load, errors of HTTP itself, and closing without loss. This file puts it together.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { drain } from './drain.ts'
import { createLoadLimit, type Overload } from './load-limit.ts'
import { createPipelines, type Exchange } from './pipeline.ts'
import { isOverlongTarget, parseTarget } from './request-target.ts'

/** Limits of Node's HTTP parser, beyond which it answers 408 or 431 or closes the connection. */
const LIMITS = {
  // With `connectionsCheckingInterval`, at most 10 and 30 seconds.
  headersTimeout: 9_000,
  requestTimeout: 29_000,
  connectionsCheckingInterval: 500,
  // `Keep-Alive: timeout=10` asks clients to close unused connections: a request that a client sends while the stopping
  // instance closes its connection would be lost. The connection itself stays open for 65 s, for reverse proxies.
  keepAliveTimeout: 10_000,
  keepAliveTimeoutBuffer: 55_000,
  // The longest URL and the longest headers together; input-limits.ts limits each.
  maxHeaderSize: 32 * 1024,
  // Node's own error answer would lack the security headers.
  requireHostHeader: false,
}
const MAX_SOCKETS = 2_000
/** More requests would wait longer than the time limit of the database. */
const MAX_REQUESTS_IN_FLIGHT = 1_000
/** Time for running requests when the server stops; below the 30 s that Kubernetes allows. */
const DRAIN_MILLISECONDS = 25_000
/** Closes connections of clients that send requests and read no answers. */
const SILENCE_MILLISECONDS = 20_000

type Status = 400 | 408 | 413 | 414 | 417 | 431 | 503

/** Answers a request. A promise resolves when the work is done. */
export type Answer = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>

type Options = {
  /** Headers of answers that the listener makes itself. */
  headers: ReadonlyMap<string, string>
  /** How long a connection may make no progress during a request. Node closes it at the second check. */
  silenceMilliseconds?: number
  maxRequestsInFlight?: number
  drainMilliseconds?: number
  onOverload?: (overload: Overload) => void
}

export type Listener = Readonly<{
  server: Server
  /** From now on each answer closes its connection; new connections are still accepted. */
  closeAfterAnswers(): void
  /**
   * Lets requests finish, and closes all connections after 25 s. During the grace period, the port stays open while
   * connections arrive, and idle connections stay open; without it both are closed at once.
   */
  close(options?: { graceMilliseconds?: number }): Promise<void>
}>

/**
 * A listener that also answers requests that never reach the application: malformed HTTP (RFC 9112), slow or oversized
 * requests, and requests beyond the load limits. It closes such connections; others are served.
 */
export function createListener(
  answer: Answer,
  {
    headers,
    silenceMilliseconds = SILENCE_MILLISECONDS,
    maxRequestsInFlight = MAX_REQUESTS_IN_FLIGHT,
    drainMilliseconds = DRAIN_MILLISECONDS,
    onOverload = () => {},
  }: Options,
): Listener {
  const load = createLoadLimit(maxRequestsInFlight)
  const pipelines = createPipelines(begin)

  function begin({ request, response, refusal }: Expected): void {
    const target = parseTarget(request)
    if (refusal || target === undefined) refuse(response, refusal ?? 400, headers)
    else if (load.isReached()) {
      onOverload('in_flight')
      refuse(response, 503, headers, { 'Retry-After': '1' })
    } else {
      request.url = target
      const work = answer(request, response)
      if (work) load.track(request, work)
    }
  }

  function take(exchange: Expected): void {
    if (!pipelines.take(exchange)) onOverload('pipelined')
  }

  const server = createServer(LIMITS, (request, response) => take({ request, response }))
  let connectedAt = Number.NEGATIVE_INFINITY
  server.on('connection', () => {
    connectedAt = performance.now()
  })
  server.maxConnections = MAX_SOCKETS
  server.setTimeout(silenceMilliseconds)
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
    take({ request, response, refusal: 417 }),
  )
  server.on('clientError', (error: ParseError, socket: Socket) => {
    if (socket.writable && isAwaited(pipelines.unansweredOf(socket)))
      socket.end(rawAnswer(statusOf(error), headers), () => socket.destroy())
    else socket.destroy()
  })

  return {
    server,
    closeAfterAnswers: pipelines.closeAfterAnswers,
    async close({ graceMilliseconds = 0 } = {}) {
      pipelines.closeAfterAnswers()
      await drain(server, {
        connectedAt: () => connectedAt,
        isSending: pipelines.isSending,
        finishWork: load.idle,
        graceMilliseconds,
        limitMilliseconds: drainMilliseconds,
      })
    },
  }
}

/** Answers without the application: before it is ready, or to a malformed request. */
export function refuse(
  response: ServerResponse,
  status: Status,
  headers: ReadonlyMap<string, string>,
  more: Record<string, string> = {},
): void {
  const body = bodyOf(status)
  response
    .writeHead(status, {
      ...Object.fromEntries(headers),
      ...entityHeaders(body),
      Connection: 'close',
      ...more,
    })
    .end(body)
}

/** An unsupported expectation is refused after the answers before it (RFC 9110 §10.1.1). */
type Expected = Exchange & { refusal?: Status }
type ParseError = Error & { code?: string; rawPacket?: Buffer }

function statusOf({ code, rawPacket }: ParseError): Status {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 408
    case 'HPE_HEADER_OVERFLOW':
      return isOverlongTarget(rawPacket) ? 414 : 431
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return 413
    default:
      return 400
  }
}

/**
 * Whether an error answer now would belong to the faulty request: one not begun, or one with an incomplete body. A
 * client that waits for an earlier answer would mistake the error for it.
 */
function isAwaited([exchange, ...others]: readonly Exchange[]): boolean {
  if (!exchange) return true
  return others.length === 0 && !exchange.request.complete && !exchange.response.headersSent
}

function rawAnswer(status: Status, headers: ReadonlyMap<string, string>): string {
  const body = bodyOf(status)
  const all = [...headers, ...Object.entries(entityHeaders(body)), ['Connection', 'close']]
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...all.map((header) => header.join(': '))]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}

function bodyOf(status: Status): string {
  const error = status === 503 ? 'temporarily_unavailable' : 'invalid_request'
  return JSON.stringify({ error, error_description: STATUS_CODES[status] })
}

function entityHeaders(body: string): Record<string, string> {
  return {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(body)),
  }
}
