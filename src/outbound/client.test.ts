import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createOutbound } from './client.ts'

const closed = createOutbound([])
const open = createOutbound(['127.0.0.0/8'])
const server = createServer((request, response) => {
  if (request.url === '/redirect') response.writeHead(302, { location: '/' }).end()
  else response.end('{"keys":[]}')
})
let url: string

beforeAll(async () => {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await Promise.all([closed.close(), open.close()])
})

describe('the check of a registered URL', () => {
  test.each([
    'http://app.example.test/jwks',
    'https://127.0.0.1/',
    'https://localhost/',
    'https://[::1]/',
    'https://10.1.2.3/',
    'https://169.254.169.254/latest/meta-data',
    'https://[::ffff:10.0.0.1]/',
    'https://0x7f000001/',
    'https://2130706433/',
    'https://192.168.0.1/',
    'https://[fd00::1]/',
    'https://user:password@app.example.test/',
    'file:///etc/passwd',
    'gopher://x/',
    'data:text/plain,x',
    'not a url',
    'https://0.0.0.0/',
    'https://127.0.0.1./',
    'https://0177.0.0.1/',
    'https://127.1/',
    'https://[::127.0.0.1]/',
    'https://[::ffff:0:127.0.0.1]/',
    'https://[64:ff9b::a00:1]/',
    'https://[fe80::1]/',
    'https://[fe80::1%25eth0]/',
    'https://[3fff::1]/',
    'https://255.255.255.255/',
    'https://100.64.0.1/',
    'ftp://app.example.test/',
    'javascript:alert(1)',
  ])('rejects %s', (uri) => {
    expect(closed.fault(uri)).toBeTypeOf('string')
  })

  test('accepts public https URLs', () => {
    expect(closed.fault('https://app.example.test/jwks')).toBeUndefined()
    expect(closed.fault('https://8.8.8.8/jwks')).toBeUndefined()
  })

  test('accepts an allowed private network, also over http', () => {
    expect(open.fault('http://127.0.0.1:3000/jwks')).toBeUndefined()
    expect(open.fault('https://10.0.0.1/jwks')).toBeTypeOf('string')
  })
})

describe('fetch', () => {
  test('rejects a private address, given as an address or a name', async () => {
    await expect(closed.fetch(url)).rejects.toThrow()
    await expect(
      closed.fetch(url.replace('127.0.0.1', 'localhost').replace('http:', 'https:')),
    ).rejects.toThrow()
  })

  test('connects to an allowed network', async () => {
    expect(await (await open.fetch(url)).json()).toEqual({ keys: [] })
    expect((await open.fetch(url.replace('127.0.0.1', 'localhost'))).status).toBe(200)
  })

  test('returns redirects instead of following them', async () => {
    expect((await open.fetch(`${url}/redirect`)).status).toBe(302)
  })
})
