import type { Middleware } from 'koa'
import { createClientAddresses } from './client-address.ts'
import type { ProxyNotices } from './proxy-notices.ts'

type Needs = { issuer: string; trustedProxies: readonly string[]; proxyNotices: ProxyNotices }

/**
 * Sets the request's origin to the configured one and its address to the client's, whatever headers arrived: issuer,
 * redirects and device URIs never follow a forged `Host`, and `X-Forwarded-For` counts only from trusted proxies. Apps
 * behind this run with `proxy = true`.
 *
 * `ctx.state.isAddressUnknown` says that `ctx.ip` may be a proxy's: equal addresses may then belong to different
 * clients.
 */
export function pinOrigin({ issuer, trustedProxies, proxyNotices }: Needs): Middleware {
  const { host, protocol } = new URL(issuer)
  const findClientAddress = createClientAddresses(trustedProxies)

  return (ctx, next) => {
    const { headers } = ctx.req
    const peer = ctx.req.socket.remoteAddress
    const { address, doubt } = findClientAddress({ peer, headers })
    ctx.state.isAddressUnknown = doubt !== undefined
    if (doubt === 'untrusted' || doubt === 'unreadable') proxyNotices.record(address, doubt)
    delete headers.forwarded
    delete headers['x-forwarded-host']
    delete headers[':authority']
    headers.host = host
    headers['x-forwarded-proto'] = protocol.slice(0, -1)
    headers['x-forwarded-for'] = address
    return next()
  }
}
