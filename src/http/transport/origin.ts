import { isIP } from 'node:net'
import type { Middleware } from 'koa'
import proxyAddr from 'proxy-addr'

/**
 * Makes every later reader of the request see the configured origin and the true client address, whatever headers
 * arrived: issuer, redirects and device URIs never follow a forged `Host`, and `X-Forwarded-For` counts only from
 * trusted proxies. Apps behind this run with `proxy = true`.
 */
export function pinOrigin({
  issuer,
  trustedProxies,
}: {
  issuer: string
  trustedProxies: readonly string[]
}): Middleware {
  const { host, protocol } = new URL(issuer)
  const isTrusted = proxyAddr.compile([...trustedProxies])

  return (ctx, next) => {
    const { headers } = ctx.req
    const address = clientAddress(proxyAddr(ctx.req, isTrusted), ctx.req.socket.remoteAddress)
    delete headers.forwarded
    delete headers['x-forwarded-host']
    delete headers[':authority']
    headers.host = host
    headers['x-forwarded-proto'] = protocol.slice(0, -1)
    headers['x-forwarded-for'] = address
    return next()
  }
}

/** What a proxy passed on may be no address at all; then the proxy's own stands. */
function clientAddress(claimed: string, socketAddress = '0.0.0.0'): string {
  const address = isIP(claimed) ? claimed : socketAddress
  return address.replace(/^::ffff:(?=\d+\.)/, '')
}
