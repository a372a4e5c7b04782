import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Agent, fetch } from 'undici'
import { describe, expect, test } from 'vitest'
import { createGuardedAgent, verifyGuard } from './guarded-agent.ts'

describe('the guard of outgoing requests', () => {
  test('works with this Node and this HTTP client (CWE-918)', async () => {
    await expect(verifyGuard()).resolves.toBeUndefined()
  })

  test.each<[string, typeof createGuardedAgent]>([
    ['looks nothing up', () => new Agent()],
    ['accepts every name', (_accepts, resolve) => createGuardedAgent(() => true, resolve)],
    ['reaches nobody', (_accepts, resolve) => createGuardedAgent(() => false, resolve)],
    ['judges names alone', (accepts, resolve) => namesOnly(accepts, resolve)],
  ])('that %s is told from one that works', async (_, createAgent) => {
    await expect(verifyGuard(createAgent)).rejects.toThrow('the guard')
  })

  test('judges the address that is connected to, when a name leads elsewhere each time (DNS rebinding)', async () => {
    let requests = 0
    const inside = createServer((_request, response) => {
      requests++
      response.end()
    })
    await new Promise<void>((done) => inside.listen(0, '127.0.0.1', done))
    const { port } = inside.address() as AddressInfo
    let asked = 0
    const answers = ['192.0.2.1', '127.0.0.1']
    const agent = createGuardedAgent(
      (address) => !address.startsWith('127.'),
      (_name, _options, callback) =>
        callback(null, [{ address: answers[Math.min(asked++, 1)] ?? '', family: 4 }]),
    )
    for (let times = 0; times < 3; times++) {
      const signal = AbortSignal.timeout(300)
      await expect(fetch(`http://rebinding.test:${port}`, { dispatcher: agent, signal })).rejects.toThrow()
    }
    expect(asked).toBeGreaterThan(1)
    expect(requests).toBe(0)
    await agent.destroy()
    inside.closeAllConnections()
    await new Promise((done) => inside.close(done))
  })
})

/** As a client would connect that no longer asked what it is connected to. */
function namesOnly(...[accepts, resolve]: Parameters<typeof createGuardedAgent>): Agent {
  return new Agent({
    connect: {
      lookup: (hostname, options, callback) =>
        resolve?.(hostname, { ...options, all: true }, (error, addresses) => {
          const reachable = addresses.filter(({ address }) => accepts(address))
          if (error || reachable.length === 0) callback(error ?? new Error('refused'), [])
          else callback(null, reachable)
        }),
    },
  })
}
