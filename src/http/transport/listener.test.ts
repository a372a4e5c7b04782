import { once } from 'node:events'
import type { Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { securityHeaders } from './headers.ts'
import { createListener } from './listener.ts'

const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const headers = securityHeaders('http://localhost')

let server: Server
let client: Socket

afterEach(async () => {
  client.destroy()
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
})

async function open(options: { silenceMilliseconds?: number }, answer: string): Promise<Socket> {
  server = createListener((_request, response) => response.end(answer), { headers, ...options })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const connected = once(server, 'connection')
  client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  client.on('error', () => {})
  return (await connected)[0]
}

test('somebody who asks and does not read the answers is hung up on (CWE-400)', async () => {
  const socket = await open({ silenceMilliseconds: 300 }, 'x'.repeat(6_000))
  const closed = once(socket, 'close')
  client.pause()
  for (let asked = 0; asked < 20_000; asked++) client.write(REQUEST)
  await closed
})

test('somebody who is idle between two requests is not', async () => {
  const socket = await open({ silenceMilliseconds: 300 }, 'x')
  client.write(REQUEST)
  await once(client, 'data')
  await pause(1_000)
  expect(socket.destroyed).toBe(false)
  client.write(REQUEST)
  await once(client, 'data')
})
