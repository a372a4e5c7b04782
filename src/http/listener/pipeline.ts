import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** A request that has no complete answer yet. */
export type Exchange = Readonly<{ request: IncomingMessage; response: ServerResponse }>

/** Unanswered requests per connection. Answered ones do not count. */
const UNANSWERED_OF_A_CONNECTION = 32
/** Requests that wait behind another one of their connection, over all connections. */
const WAITING_AT_MOST = 1_000

/**
 * Orders the requests of each connection: the next one begins when the answer before it is sent (RFC 9112 §9.3.2). Many
 * requests in one packet therefore use no more of the server than one, and delay no others.
 *
 * Node parses a whole packet and emits each request in it. A connection with too many unanswered requests is closed,
 * which frees them and drops the rest of the packet.
 */
type Pipelines<Begun extends Exchange> = Readonly<{
  /** Begins this request now, or after those before it. @returns false when the connection was closed instead. */
  take(exchange: Begun): boolean
  /** The unanswered requests of a connection, oldest first. */
  unansweredOf(socket: Socket): readonly Exchange[]
  /** Whether a finished answer is still being sent. */
  isSending(): boolean
  /** From now on each answer says `Connection: close`, unless another request of the connection is waiting. */
  closeAfterAnswers(): void
}>

export function createPipelines<Begun extends Exchange>(begin: (exchange: Begun) => void): Pipelines<Begun> {
  const pipelines = new Map<Socket, Begun[]>()
  let waiting = 0
  let isClosing = false

  function start(socket: Socket, pipeline: Begun[], exchange: Begun): void {
    exchange.response.once('close', () => {
      pipeline.shift()
      const [next] = pipeline
      // The answer may have closed its connection.
      if (next && socket.writable) {
        waiting--
        start(socket, pipeline, next)
      } else {
        waiting -= pipeline.length
        pipelines.delete(socket)
      }
    })
    begin(exchange)
  }

  return {
    take(exchange) {
      const { socket } = exchange.request
      if (!socket.writable) return true
      const pipeline = pipelines.get(socket)
      if (pipeline && (pipeline.length >= UNANSWERED_OF_A_CONNECTION || waiting >= WAITING_AT_MOST)) {
        socket.destroy()
        return false
      }
      if (isClosing) makeLast(exchange, pipeline?.at(-1))
      if (pipeline) {
        waiting++
        pipeline.push(exchange)
      } else {
        const started = [exchange]
        pipelines.set(socket, started)
        start(socket, started, exchange)
      }
      return true
    },
    unansweredOf: (socket) => pipelines.get(socket) ?? [],
    isSending: () => [...pipelines.values()].some(([exchange]) => exchange?.response.writableEnded),
    closeAfterAnswers() {
      isClosing = true
      for (const pipeline of pipelines.values()) makeLast(pipeline.at(-1))
    },
  }
}

/** Has an effect only before the response head is sent. */
function makeLast(exchange: Exchange | undefined, before?: Exchange): void {
  if (before) before.response.shouldKeepAlive = true
  if (exchange) exchange.response.shouldKeepAlive = false
}
