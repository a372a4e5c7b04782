import type { IncomingHttpHeaders } from 'node:http'
import Koa from 'koa'
import { describe, expect, test } from 'vitest'
import type { Doubt } from './client-address.ts'
import { pinOrigin } from './origin.ts'

/** Returns the request after pinOrigin, for a socket of this address and these headers. */
async function seen(
  headers: IncomingHttpHeaders,
  { from = '192.0.2.9', trustedProxies = ['10.0.0.0/8'] }: { from?: string; trustedProxies?: string[] } = {},
) {
  const app = new Koa({ proxy: true })
  const request = {
    headers: { host: 'evil.example', ...headers },
    socket: { remoteAddress: from },
    url: '/x',
    method: 'GET',
  }
  const response = { getHeader: () => undefined, setHeader: () => undefined }
  const ctx = app.createContext(request as never, response as never)
  const notices: [string, Doubt][] = []
  const proxyNotices = { record: (peer: string, fault: Doubt) => notices.push([peer, fault]), list: () => [] }
  await pinOrigin({ issuer: 'https://login.example.com', trustedProxies, proxyNotices })(ctx, async () => {})
  const { isAddressUnknown } = ctx.state
  return { href: ctx.href, secure: ctx.secure, ip: ctx.ip, isAddressUnknown, notices }
}

describe('pinOrigin', () => {
  test.each<IncomingHttpHeaders>([
    {},
    { 'x-forwarded-host': 'evil.example' },
    { forwarded: 'host=evil.example;proto=http' },
    { 'x-forwarded-proto': 'http' },
  ])('the origin is the configured one, whatever %j says', async (headers) => {
    expect(await seen(headers)).toMatchObject({ href: 'https://login.example.com/x', secure: true })
  })

  test('reads X-Forwarded-For from a trusted proxy only', async () => {
    const headers = { 'x-forwarded-for': '203.0.113.7:50412' }
    expect(await seen(headers, { from: '10.1.2.3' })).toMatchObject({
      ip: '203.0.113.7',
      isAddressUnknown: false,
      notices: [],
    })
    expect(await seen(headers)).toMatchObject({
      ip: '192.0.2.9',
      isAddressUnknown: true,
      notices: [['192.0.2.9', 'untrusted']],
    })
  })

  test('notices a trusted proxy whose X-Forwarded-For cannot be read', async () => {
    const headers = { 'x-forwarded-for': '203.0.113.7, unknown' }
    expect(await seen(headers, { from: '10.1.2.3' })).toMatchObject({
      ip: '10.1.2.3',
      isAddressUnknown: true,
      notices: [['10.1.2.3', 'unreadable']],
    })
  })

  test('marks the address of a proxy without the header as unknown, without a notice', async () => {
    // A load balancer's health checks have no such header.
    expect(await seen({}, { from: '10.1.2.3' })).toMatchObject({
      ip: '10.1.2.3',
      isAddressUnknown: true,
      notices: [],
    })
  })

  test('takes the address of a direct connection for the client’s', async () => {
    expect(await seen({}, { from: '::ffff:192.0.2.9' })).toMatchObject({
      ip: '192.0.2.9',
      isAddressUnknown: false,
      notices: [],
    })
  })
})
