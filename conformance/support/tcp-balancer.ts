import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

const LOOK_MILLISECONDS = 500
/** Time limit of a health check: a busy machine answers late. */
const ANSWER_MILLISECONDS = 3_000
/** One-way latency between client and server: requests may be in flight while a connection closes. */
const LATENCY_MILLISECONDS = 30
/** Failed health checks in a row that remove a backend. */
const FAILURES = 2

type Backend = Readonly<{ url: string; managementUrl: string }>

export type TcpBalancer = Readonly<{
  /** Resolves when this backend receives new connections. */
  takes: (backend: Backend) => Promise<void>
  /** Connections that no backend accepted; these are not failures of a stopping instance. */
  turnedAway: () => number
  close: () => Promise<void>
}>

/**
 * A load balancer like HAProxy in TCP mode: it polls the readiness of each backend, gives each new connection to the
 * next ready one, and keeps open connections where they are. A refused connection is retried at another backend
 * (`option redispatch`).
 */
export async function startTcpBalancer(port: number, backends: readonly Backend[]): Promise<TcpBalancer> {
  const failures = new Map(backends.map((backend) => [backend, FAILURES]))
  const isReady = (backend: Backend) => (failures.get(backend) ?? FAILURES) < FAILURES
  const sockets = new Set<Socket>()
  let turn = 0
  let turnedAway = 0
  let isOver = false

  async function watch(backend: Backend): Promise<void> {
    while (!isOver) {
      const signal = AbortSignal.timeout(ANSWER_MILLISECONDS)
      const isWell = await fetch(`${backend.managementUrl}/health/ready`, { signal }).then(
        ({ ok }) => ok,
        () => false,
      )
      failures.set(backend, isWell ? 0 : (failures.get(backend) ?? 0) + 1)
      await pause(LOOK_MILLISECONDS)
    }
  }

  /** The ready backends, the next one first. */
  function candidates(): Backend[] {
    const ready = backends.filter(isReady)
    turn++
    return ready.map((_, index) => ready[(turn + index) % ready.length] as Backend)
  }

  async function serve(incoming: Socket): Promise<void> {
    for (const { url } of candidates()) {
      const outgoing = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen: true })
      const isConnected = await once(outgoing, 'connect').then(
        () => true,
        () => false,
      )
      if (isConnected) {
        join(incoming, outgoing)
        return
      }
    }
    turnedAway++
    incoming.destroy()
  }

  function join(incoming: Socket, outgoing: Socket): void {
    for (const [from, to] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      sockets.add(from)
      const later = (act: () => void) => setTimeout(() => to.writable && act(), LATENCY_MILLISECONDS)
      from.on('data', (chunk) => later(() => to.write(chunk)))
      from.on('end', () => later(() => to.end()))
      from.on('error', () => later(() => to.destroy()))
      from.on('close', () => {
        sockets.delete(from)
        later(() => to.destroySoon())
      })
      from.resume()
    }
  }

  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (incoming) => {
    incoming.on('error', () => incoming.destroy())
    void serve(incoming)
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const watching = backends.map(watch)

  return {
    async takes(backend) {
      while (!isReady(backend)) await pause(LOOK_MILLISECONDS / 10)
    },
    turnedAway: () => turnedAway,
    async close() {
      isOver = true
      await Promise.all(watching)
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
