import type { IncomingHttpHeaders } from 'node:http'
import { isIP, isIPv4 } from 'node:net'
import ipaddr from 'ipaddr.js'
import proxyAddr from 'proxy-addr'

/** The client's address as reported by trusted proxies, in canonical form. */
type ClientAddress = Readonly<{ address: string; doubt: Doubt | undefined }>

/**
 * Why the address may be a proxy's:
 * - `untrusted`: a peer that is no trusted proxy sends a forwarding header
 * - `unreadable`: a trusted proxy sends an `X-Forwarded-For` that holds no address
 * - `missing`: a trusted proxy sends no forwarding header
 */
export type Doubt = 'untrusted' | 'unreadable' | 'missing'

type FindClientAddress = (request: {
  /** The remote address of the connection. */
  peer: string | undefined
  headers: IncomingHttpHeaders
}) => ClientAddress

/**
 * Headers that show a proxy. Only the first is read: a proxy that sets one of them forwards the others unchanged from
 * the client.
 */
const FORWARDING_HEADERS = ['x-forwarded-for', 'forwarded', 'x-real-ip']
const NO_ADDRESS = '0.0.0.0'

/** An address in brackets or with a port (RFC 7239 §6). */
const NODE = /^(?:\[(?<ipv6>[^\]]*:[^\]]*)\]|(?<ipv4>[\d.]+)(?=:))(?::(?:\d{1,5}|_[\w.-]+))?$/

/** Follows the chain of proxies outwards from the connection's peer while each address is a trusted proxy. */
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

/** Unwraps an IPv4-mapped address and drops the zone, which has a meaning on one link only (RFC 4007 §6). */
function normalAddress(text = ''): string | undefined {
  if (isIPv4(text)) return text
  return isIP(text) ? ipaddr.process(text.replace(/%.*$/, '')).toString() : undefined
}
