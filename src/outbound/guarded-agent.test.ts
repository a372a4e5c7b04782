import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Agent, fetch } from 'undici'
import { describe, expect, test } from 'vitest'
import { createGuardedAgent, verifyGuard } from './guarded-agent.ts'

describe('SSRF protection (CWE-918)', () => {
  test('works with this version of Node and undici', async () => {
    await expect(verifyGuard()).resolves.toBeUndefined()
  })

  test.each<[string, typeof createGuardedAgent]>([
    ['has no hooks', () => new Agent()],
    ['accepts every address', (_accepts, resolve) => createGuardedAgent(() => true, resolve)],
    ['rejects every address', (_accepts, resolve) => createGuardedAgent(() => false, resolve)],
    ['checks resolved names only', (accepts, resolve) => createResolvingAgent(accepts, resolve)],
  ])('fails its self-test with an agent that %s', async (_, createAgent) => {
    await expect(verifyGuard(createAgent)).rejects.toThrow('SSRF protection')
  })

  test('rejects a private address in a second DNS answer (DNS rebinding)', async () => {
    let requests = 0
    const inside = createServer((_request, response) => {
      requests++
      response.end()
    })
    await new Promise<void>((done) => inside.listen(0, '127.0.0.1', done))
    const { port } = inside.address() as AddressInfo
    let lookups = 0
    const answers = ['192.0.2.1', '127.0.0.1']
    const agent = createGuardedAgent(
      (address) => !address.startsWith('127.'),
      (_name, _options, callback) =>
        callback(null, [{ address: answers[Math.min(lookups++, 1)] ?? '', family: 4 }]),
    )
    for (let times = 0; times < 3; times++) {
      const signal = AbortSignal.timeout(300)
      await expect(fetch(`http://rebinding.test:${port}`, { dispatcher: agent, signal })).rejects.toThrow()
    }
    expect(lookups).toBeGreaterThan(1)
    expect(requests).toBe(0)
    await agent.destroy()
    inside.closeAllConnections()
    await new Promise((done) => inside.close(done))
  })
})

/** An agent that does not check the connected socket. */
function createResolvingAgent(...[accepts, resolve]: Parameters<typeof createGuardedAgent>): Agent {
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
