import { type LookupAddress, type LookupAllOptions, lookup } from 'node:dns'
import { createServer } from 'node:http'
import type { AddressInfo, LookupFunction } from 'node:net'
import { Agent, buildConnector, fetch } from 'undici'

type Accepts = (address: string) => boolean
type Resolve = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

/**
 * Connects to accepted addresses alone. A name is looked up once, and what it leads to is what is connected to, so a
 * name that leads elsewhere the next time gains nothing (DNS rebinding). The connection is judged once more: what is
 * no name is never looked up.
 */
export function createGuardedAgent(accepts: Accepts, resolve: Resolve = lookup): Agent {
  const connect = buildConnector({ lookup: guardedLookup(accepts, resolve) })
  return new Agent({
    connect(options, callback) {
      connect(options, (error, socket) => {
        if (error) return callback(error, null)
        const { remoteAddress } = socket
        if (remoteAddress !== undefined && accepts(remoteAddress)) return callback(null, socket)
        socket.destroy()
        callback(refusal(options.hostname), null)
      })
    },
  })
}

/**
 * Tries the guard on this machine. An upgrade of Node or of the HTTP client could leave its hooks unused, which nobody
 * would notice.
 *
 * @throws when a request reaches what is not accepted, or does not reach what is.
 */
export async function verifyGuard(createAgent = createGuardedAgent): Promise<void> {
  let requests = 0
  const target = createServer((_request, response) => {
    requests++
    response.end()
  })
  await new Promise<void>((done) => target.listen(0, '127.0.0.1', done))
  const { port } = target.address() as AddressInfo
  const toLoopback: Resolve = (_name, _options, callback) =>
    callback(null, [{ address: '127.0.0.1', family: 4 }])
  try {
    for (const [accepts, expected] of [
      [() => false, 0],
      [() => true, 2],
    ] as const) {
      requests = 0
      const agent = createAgent(accepts, toLoopback)
      for (const host of ['guard.invalid', '127.0.0.1'])
        await fetch(`http://${host}:${port}`, { dispatcher: agent }).catch(() => {})
      await agent.close()
      if (requests !== expected)
        throw new Error('the guard of outgoing requests does not work with this version of Node or undici')
    }
  } finally {
    target.closeAllConnections()
    await new Promise((done) => target.close(done))
  }
}

function guardedLookup(accepts: Accepts, resolve: Resolve): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, [])
      const reachable = addresses.filter(({ address }) => accepts(address))
      if (reachable.length === 0) return callback(refusal(hostname), [])
      callback(null, reachable)
    })
  }
}

function refusal(hostname: string): Error {
  return new Error(`${hostname} leads to an address that is not allowed`)
}
