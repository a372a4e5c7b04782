import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import type { Socket } from 'node:net'
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
/** Somebody who asks and does not read the answers would otherwise hold their connection for ever. */
const SILENCE_MILLISECONDS = 20_000

type Status = 400 | 408 | 413 | 414 | 417 | 431 | 503

/**
 * A listener that answers what no application gets to see, too: what is no HTTP (RFC 9112), comes too slowly, or is
 * longer than anything we read. It hangs up on those; whoever else is connected notices nothing.
 *
 * @param headers of every answer that is given here.
 */
export function createListener(
  answer: RequestListener,
  {
    headers,
    silenceMilliseconds = SILENCE_MILLISECONDS,
  }: {
    headers: ReadonlyMap<string, string>
    /** How long a connection may stand still while something is asked or answered. Node looks twice. */
    silenceMilliseconds?: number
  },
): Server {
  const unanswered = new WeakMap<Socket, Set<Exchange>>()

  const server = createServer(LIMITS, (request, response) => {
    const exchange = { request, response }
    const exchanges = unanswered.get(request.socket) ?? new Set()
    unanswered.set(request.socket, exchanges.add(exchange))
    response.once('close', () => exchanges.delete(exchange))
    const target = parseTarget(request)
    if (target === undefined) return refuse(response, 400, headers)
    request.url = target
    answer(request, response)
  })
  server.maxConnections = MAX_SOCKETS
  server.setTimeout(silenceMilliseconds)
  server.on('checkExpectation', (_request, response: ServerResponse) => refuse(response, 417, headers))
  server.on('clientError', (error: ParseError, socket: Socket) => {
    if (socket.writable && isAwaited([...(unanswered.get(socket) ?? [])]))
      socket.end(rawAnswer(statusOf(error), headers), () => socket.destroy())
    else socket.destroy()
  })
  return server
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

type Exchange = { request: IncomingMessage; response: ServerResponse }
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
 * Anybody who waits for another would take it for theirs.
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
