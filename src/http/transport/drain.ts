import { once } from 'node:events'
import type { Server } from 'node:http'
import { Server as TcpServer } from 'node:net'
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'

const LOOK_MILLISECONDS = 100
/** A balancer that still sends connections sends one more often than this, if one is missed at all. */
const QUIET_MILLISECONDS = 1_000

type Draining = Readonly<{
  /** When the last connection came, by `performance.now()`. */
  connectedAt: () => number
  /** Whether an answer that was made is still on its way to its reader. */
  isSending: () => boolean
  /** Resolves when no request is being worked on. */
  finishWork: () => Promise<void>
  /** How long to go on accepting while connections come, and to keep connections open that wait for a request. */
  patienceMilliseconds: number
  /** How long requests may take. Then every connection is cut. */
  limitMilliseconds: number
}>

/**
 * Ends when all connections are closed and the work for them is done. Answers have to say `Connection: close`, so a
 * connection in use closes after its next answer.
 */
export async function drain(server: Server, draining: Draining): Promise<void> {
  const { finishWork, limitMilliseconds } = draining
  const closed = once(server, 'close')
  const over = new AbortController()
  const { signal } = over
  const limit = pause(limitMilliseconds, undefined, { signal }).catch(() => {})
  const closing = closeConnections(server, { ...draining, signal })

  await Promise.race([closed.then(finishWork), limit])
  over.abort()
  await closing
  server.closeAllConnections()
  await closed
  // Nothing is left to close: this stops the timeouts of the server.
  server.close()
}

type Closing = Draining & { signal: AbortSignal }

async function closeConnections(server: Server, closing: Closing): Promise<void> {
  const { connectedAt, isSending, patienceMilliseconds, signal } = closing
  const patienceEndsAt = performance.now() + patienceMilliseconds
  const isPatient = () => performance.now() < patienceEndsAt
  const isQuiet = () => patienceMilliseconds === 0 || performance.now() - connectedAt() >= QUIET_MILLISECONDS

  await settle()
  while (isPatient() && !isQuiet() && !signal.aborted) await look(signal)
  // close() of an HTTP server also cuts the connections that are idle, and stops its timeouts. That of TCP does neither.
  TcpServer.prototype.close.call(server)
  while (!signal.aborted) {
    // A connection that just came is about to be used. Node calls one idle whose answer still waits for its reader.
    if (!isPatient() && isQuiet() && !isSending()) server.closeIdleConnections()
    await look(signal)
  }
}

async function look(signal: AbortSignal): Promise<void> {
  await pause(LOOK_MILLISECONDS, undefined, { signal }).catch(() => {})
  await settle()
}

/**
 * One turn of the event loop accepts the connections that wait for it, and the next reads what they brought: when the
 * process is busy, requests are there before it knows of them.
 */
async function settle(): Promise<void> {
  await turn()
  await turn()
}
