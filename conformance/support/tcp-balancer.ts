import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

const LOOK_MILLISECONDS = 500
/** A busy machine answers late; an instance that stops says so. */
const ANSWER_MILLISECONDS = 3_000
/** Each way, as between a client and a data centre: what was sent meanwhile crosses a closing on its way. */
const LATENCY_MILLISECONDS = 30
/** So many looks in a row have to fail. */
const FAILURES = 2

export type Backend = Readonly<{ url: string; managementUrl: string }>

export type TcpBalancer = Readonly<{
  /** Resolves when new connections go to this backend, too. */
  takes: (backend: Backend) => Promise<void>
  /** How many connections no backend took: those are not the fault of one that stops. */
  turnedAway: () => number
  close: () => Promise<void>
}>

/**
 * A balancer such as HAProxy in TCP mode: it looks at the readiness of each backend, gives each new connection to the
 * next one that is ready, and leaves open connections where they are. A connection that is refused is tried at another
 * backend (`option redispatch`).
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
