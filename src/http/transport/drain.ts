import { once } from 'node:events'
import type { Server } from 'node:http'
import { Server as TcpServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

const SWEEP_MILLISECONDS = 100

type Draining = Readonly<{
  /** Whether an answer that was made is still on its way to its reader. */
  isSending: () => boolean
  /** Resolves when no request is being worked on. */
  finishWork: () => Promise<void>
  /** How long a connection without a request stays open for one: a client cannot know yet that it must not use it. */
  idleMilliseconds: number
  /** How long requests may take. Then every connection is cut. */
  limitMilliseconds: number
}>

/**
 * Stops accepting connections, and ends when those that are open are closed and the work for them is done. Answers have
 * to say `Connection: close`, so a connection in use closes after its next answer.
 */
export async function drain(
  server: Server,
  { isSending, finishWork, idleMilliseconds, limitMilliseconds }: Draining,
): Promise<void> {
  const closed = once(server, 'close')
  // close() of an HTTP server also cuts the connections that are idle, and stops its timeouts. That of TCP does neither.
  TcpServer.prototype.close.call(server)

  let areIdleKept = idleMilliseconds > 0
  const closeIdle = () => {
    // Node calls a connection idle whose answer still waits for its reader.
    if (!areIdleKept && !isSending()) server.closeIdleConnections()
  }
  closeIdle()
  const sweep = setInterval(closeIdle, SWEEP_MILLISECONDS)
  const patience = setTimeout(() => {
    areIdleKept = false
  }, idleMilliseconds)
  const over = new AbortController()
  const limit = pause(limitMilliseconds, undefined, { signal: over.signal }).catch(() => {})

  await Promise.race([closed.then(finishWork), limit])
  over.abort()
  clearInterval(sweep)
  clearTimeout(patience)
  server.closeAllConnections()
  await closed
  // Nothing is left to close: this stops its timeouts.
  server.close()
}
