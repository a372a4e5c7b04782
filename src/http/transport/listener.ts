import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { drain } from './drain.ts'
import { createLoadLimit } from './load-limit.ts'
import { createPipelines, type Exchange } from './pipeline.ts'
import { isOverlongTarget, parseTarget } from './request-target.ts'

/** What Node waits for, and how much of it, before it answers 408 or 431 or hangs up by itself. */
const LIMITS = {
  // With the next look at the clock, ten and thirty seconds at most.
  headersTimeout: 9_000,
  requestTimeout: 29_000,
  connectionsCheckingInterval: 500,
  keepAliveTimeout: 65_000,
  // The longest URL and the longest headers together; the guards tell them apart.
  maxHeaderSize: 32 * 1024,
  // Node's own refusal would lack the headers that every answer has.
  requireHostHeader: false,
}
const MAX_SOCKETS = 2_000
/** More take longer than the database lets each of them wait. */
const MAX_REQUESTS_IN_FLIGHT = 1_000
/** What requests get to finish in when the server stops; stays below Kubernetes' 30 s. */
const DRAIN_MILLISECONDS = 25_000
/** A client that sends requests and reads no answer would otherwise hold its connection for ever. */
const SILENCE_MILLISECONDS = 20_000

type Status = 400 | 408 | 413 | 414 | 417 | 431 | 503

/** Answers a request. A promise resolves when the work is done. */
export type Answer = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>

/** Why a request was refused before anything was done for it. */
export type Overload = 'pipelined' | 'in_flight'

type Options = {
  /** Headers of every answer that the listener gives by itself. */
  headers: ReadonlyMap<string, string>
  /** How long a connection may stand still while something is asked or answered. Node looks twice. */
  silenceMilliseconds?: number
  maxRequestsInFlight?: number
  drainMilliseconds?: number
  onOverload?: (overload: Overload) => void
}

export type Listener = Readonly<{
  server: Server
  /** From now on each answer closes its connection, and new connections are still accepted. */
  closeAfterAnswers(): void
  /**
   * Lets requests finish, and cuts what takes longer than 25 s. For as long as its patience lasts, the port stays open
   * while connections come, and so do connections that wait for a request; without patience both close now.
   */
  close(options?: { patienceMilliseconds?: number }): Promise<void>
}>

/**
 * A listener that also answers what no application gets to see: what is no HTTP (RFC 9112), comes too slowly, is longer
 * than anything that is read, or is more than can be answered. It closes such connections; the others are served.
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
    async close({ patienceMilliseconds = 0 } = {}) {
      pipelines.closeAfterAnswers()
      await drain(server, {
        connectedAt: () => connectedAt,
        isSending: pipelines.isSending,
        finishWork: load.idle,
        patienceMilliseconds,
        limitMilliseconds: drainMilliseconds,
      })
    },
  }
}

/** Answers without an application: one that is not there yet, or a request that is none. */
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

/** An expectation that is not met is refused when its turn comes (RFC 9110 §10.1.1). */
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
 * Whether an answer now is one to the request that is at fault: to one that has not begun, or whose body never ended.
 * A client that waits for another answer would take it for that.
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
