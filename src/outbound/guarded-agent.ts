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
 * An undici agent that connects to accepted addresses only. It pins the resolved address, so a second DNS answer cannot
 * redirect the request (DNS rebinding). It checks the connected socket as well, because an address in a URL is not
 * resolved.
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
        callback(addressError(options.hostname), null)
      })
    },
  })
}

/**
 * Sends four requests through an agent to a server on this machine. An upgrade of Node or undici could stop calling the
 * agent's hooks, and no other sign would show it.
 *
 * @throws when a request reaches an address that is not accepted, or cannot reach an accepted one.
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
        throw new Error('the SSRF protection does not work with this version of Node or undici')
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
      if (reachable.length === 0) return callback(addressError(hostname), [])
      callback(null, reachable)
    })
  }
}

function addressError(hostname: string): Error {
  return new Error(`${hostname} leads to an address that is not allowed`)
}
