import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** A request that has no complete answer yet. */
export type Exchange = Readonly<{ request: IncomingMessage; response: ServerResponse }>

/** Answered ones do not count: a connection may carry any number, one after the other. */
const UNANSWERED_OF_A_CONNECTION = 32
/** Requests behind another one of their connection, over all connections. */
const WAITING_AT_MOST = 1_000

/**
 * The order of requests on each connection: one is begun when the answer before it is out (RFC 9112 §9.3.2). Many
 * requests in one packet therefore take no more of the server than one does, and nothing of the others' turns.
 *
 * Node parses a packet to its end whatever its handlers do, and hands over each request in it. So a connection with
 * too many unanswered requests is closed, which frees them; the rest of its packet is dropped unread.
 */
export type Pipelines<Begun extends Exchange> = Readonly<{
  /** Begins this request now or in its turn. @returns false when its connection was closed instead. */
  take(exchange: Begun): boolean
  /** The unanswered requests of a connection, oldest first. */
  unansweredOf(socket: Socket): readonly Exchange[]
  /** Whether an answer that was made is still on its way to its reader. */
  isSending(): boolean
  /** From now on each answer says `Connection: close`, unless a request behind it is waiting for its own. */
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
      // An answer may have been the last one of its connection.
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

/** Has effect until the answer's head is out. */
function makeLast(exchange: Exchange | undefined, before?: Exchange): void {
  if (before) before.response.shouldKeepAlive = true
  if (exchange) exchange.response.shouldKeepAlive = false
}
