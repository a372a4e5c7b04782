import type { IncomingHttpHeaders } from 'node:http'
import { isIP, isIPv4 } from 'node:net'
import ipaddr from 'ipaddr.js'
import proxyAddr from 'proxy-addr'

/** Where a request comes from, as far as trusted proxies tell. One address has one spelling. */
export type ClientAddress = Readonly<{ address: string; doubt: Doubt | undefined }>

/**
 * Why the address is perhaps a proxy's:
 * - `untrusted`: a peer that is no trusted proxy sends a forwarding header
 * - `unreadable`: a trusted proxy sends something else than an address in `X-Forwarded-For`
 * - `missing`: a trusted proxy sends no forwarding header
 */
export type Doubt = 'untrusted' | 'unreadable' | 'missing'

type FindClientAddress = (request: {
  /** The address of the other end of the connection. */
  peer: string | undefined
  headers: IncomingHttpHeaders
}) => ClientAddress

/**
 * Signs of a proxy. Only the first is read: a proxy that writes one of them passes the others on as the client wrote
 * them.
 */
const FORWARDING_HEADERS = ['x-forwarded-for', 'forwarded', 'x-real-ip']
const NO_ADDRESS = '0.0.0.0'

/** An address with brackets or with a port: the forms of RFC 7239 §6 that are more than an address. */
const NODE = /^(?:\[(?<ipv6>[^\]]*:[^\]]*)\]|(?<ipv4>[\d.]+)(?=:))(?::(?:\d{1,5}|_[\w.-]+))?$/

/** Follows the chain of proxies from the connection's peer outwards, as long as each address is a trusted proxy's. */
export function createClientAddresses(trustedProxies: readonly string[]): FindClientAddress {
  const isTrusted = proxyAddr.compile([...trustedProxies])

  return ({ peer, headers }) => {
    let address = normalAddress(peer) ?? NO_ADDRESS
    const isForwarded = FORWARDING_HEADERS.some((name) => headers[name] !== undefined)
    if (!isTrusted(address, 0)) return { address, doubt: isForwarded ? 'untrusted' : undefined }
    const forwardedFor = headers['x-forwarded-for']
    if (forwardedFor === undefined) return { address, doubt: isForwarded ? 'unreadable' : 'missing' }
    for (const [index, node] of String(forwardedFor).split(',').reverse().entries()) {
      if (!isTrusted(address, index)) break
      const next = parseNode(node.trim())
      if (next === undefined) return { address, doubt: 'unreadable' }
      address = next
    }
    return { address, doubt: undefined }
  }
}

/** @returns undefined when the node is `unknown`, obfuscated (RFC 7239 §6.3) or malformed. */
function parseNode(node: string): string | undefined {
  const unquoted = /^"(.*)"$/.exec(node)?.[1] ?? node
  const { ipv6, ipv4 } = NODE.exec(unquoted)?.groups ?? {}
  return normalAddress(ipv6 ?? ipv4 ?? unquoted)
}

/** IPv4 where IPv6 only wraps it, and no zone: a zone has a meaning on one link alone (RFC 4007 §6). */
function normalAddress(text = ''): string | undefined {
  if (isIPv4(text)) return text
  return isIP(text) ? ipaddr.process(text.replace(/%.*$/, '')).toString() : undefined
}
