import { once } from 'node:events'
import type { Server } from 'node:http'
import { Server as TcpServer } from 'node:net'
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'

const LOOK_MILLISECONDS = 100
/** A load balancer that still uses this instance opens connections more often than this. */
const QUIET_MILLISECONDS = 1_000

type Draining = Readonly<{
  /** When the last connection was accepted, by `performance.now()`. */
  connectedAt: () => number
  /** Whether a finished answer is still being sent. */
  isSending: () => boolean
  /** Resolves when no request is in progress. */
  finishWork: () => Promise<void>
  /** How long to accept connections while new ones arrive, and to keep idle connections open. */
  graceMilliseconds: number
  /** How long requests may take before every connection is closed. */
  limitMilliseconds: number
}>

/**
 * Resolves when all connections are closed and their work is done. Answers must say `Connection: close`, so that a
 * connection in use closes after its next answer.
 */
export async function drain(server: Server, draining: Draining): Promise<void> {
  const { finishWork, limitMilliseconds } = draining
  const closed = once(server, 'close')
  const limitReached = new AbortController()
  const { signal } = limitReached
  const limit = pause(limitMilliseconds, undefined, { signal }).catch(() => {})
  const closing = closeConnections(server, { ...draining, signal })

  await Promise.race([closed.then(finishWork), limit])
  limitReached.abort()
  await closing
  server.closeAllConnections()
  await closed
  // No connection is left; this stops the server's timeouts.
  server.close()
}

type Closing = Draining & { signal: AbortSignal }

async function closeConnections(server: Server, closing: Closing): Promise<void> {
  const { connectedAt, isSending, graceMilliseconds, signal } = closing
  const graceEndsAt = performance.now() + graceMilliseconds
  const isInGrace = () => performance.now() < graceEndsAt
  const isQuiet = () => graceMilliseconds === 0 || performance.now() - connectedAt() >= QUIET_MILLISECONDS

  await settle()
  while (isInGrace() && !isQuiet() && !signal.aborted) await look(signal)
  // `http.Server.close()` would also close idle connections and stop the timeouts; `net.Server.close()` does neither.
  TcpServer.prototype.close.call(server)
  while (!signal.aborted) {
    // A new connection is about to be used. Node counts a connection as idle while its answer is still being read.
    if (!isInGrace() && isQuiet() && !isSending()) server.closeIdleConnections()
    await look(signal)
  }
}

async function look(signal: AbortSignal): Promise<void> {
  await pause(LOOK_MILLISECONDS, undefined, { signal }).catch(() => {})
  await settle()
}

/**
 * Waits for two turns of the event loop: the first accepts pending connections, the second reads their requests, so
 * that a busy process sees them before it closes anything.
 */
async function settle(): Promise<void> {
  await turn()
  await turn()
}
