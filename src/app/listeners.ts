import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Answer, createListener, type Listener, refuse } from '../http/listener/listener.ts'

/**
 * The kernel's queue of new connections. Node's default is 511, beyond which a client retries after 1, 3, 7 and 15 s.
 */
const CONNECTION_BACKLOG = 2_000

type Endpoint = { answer: Answer; host: string; port: number }
type Options = Parameters<typeof createListener>[1]

export type Listeners = Readonly<{
  main: Listener
  management: Listener
  /** Until this is called, every request is answered with 503. */
  open(): void
  close(): Promise<void>
}>

/** Binds both ports. @throws when one is taken; then neither is bound. */
export async function bindListeners(
  { main, management }: { main: Endpoint; management: Endpoint },
  options: Options,
): Promise<Listeners> {
  const bound: Listener[] = []
  let isOpen = false
  const bind = async ({ answer, host, port }: Endpoint): Promise<Listener> => {
    const whenOpen: Answer = (request, response) =>
      isOpen ? answer(request, response) : refuse(response, 503, options.headers, { 'Retry-After': '1' })
    const listener = createListener(whenOpen, options)
    await listen(listener.server, { host, port })
    bound.push(listener)
    return listener
  }
  const close = async () => {
    await Promise.all(bound.map((listener) => listener.close()))
  }
  try {
    return {
      management: await bind(management),
      main: await bind(main),
      open() {
        isOpen = true
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function listen(server: Server, { host, port }: Pick<Endpoint, 'host' | 'port'>): Promise<void> {
  server.listen({ port, host, backlog: CONNECTION_BACKLOG })
  await once(server, 'listening')
}

/** The bound address; `[::]` and `0.0.0.0` mean every address of the machine. */
export function boundAddress({ server }: Listener): string {
  const { address, family, port } = server.address() as AddressInfo
  return `${family === 'IPv6' ? `[${address}]` : address}:${port}`
}

/** The URL of the listener for programs on this machine. */
export function urlOf(listener: Listener): string {
  return `http://${boundAddress(listener).replace(/^(\[::\]|0\.0\.0\.0):/, 'localhost:')}`
}
