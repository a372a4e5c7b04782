import type { IncomingHttpHeaders } from 'node:http'
import Koa from 'koa'
import { describe, expect, test } from 'vitest'
import { pinOrigin } from './origin.ts'

/** What a later reader of the request sees, when it came from a socket of this address with these headers. */
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
  await pinOrigin({ issuer: 'https://login.example.com', trustedProxies })(ctx, async () => {})
  return { href: ctx.href, secure: ctx.secure, ip: ctx.ip }
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

  test('X-Forwarded-For counts from a trusted proxy only', async () => {
    const headers = { 'x-forwarded-for': '203.0.113.7' }
    expect((await seen(headers)).ip).toBe('192.0.2.9')
    expect((await seen(headers, { from: '10.1.2.3' })).ip).toBe('203.0.113.7')
    expect((await seen(headers, { from: '::ffff:10.1.2.3' })).ip).toBe('203.0.113.7')
  })

  test('what a client wrote in front of a trusted proxy’s own entry does not count', async () => {
    expect((await seen({ 'x-forwarded-for': '198.51.100.1, 203.0.113.7' }, { from: '10.1.2.3' })).ip).toBe(
      '203.0.113.7',
    )
  })

  test.each(['unknown', '', '203.0.113.7:4711', '<script>', '999.1.1.1'])(
    'the entry %j is no address: the proxy’s own stands',
    async (entry) => {
      expect((await seen({ 'x-forwarded-for': entry }, { from: '10.1.2.3' })).ip).toBe('10.1.2.3')
    },
  )

  test('an IPv4 address in IPv6 clothes is the IPv4 address', async () => {
    expect((await seen({}, { from: '::ffff:192.0.2.9' })).ip).toBe('192.0.2.9')
  })
})
