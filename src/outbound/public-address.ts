import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** The only IPv6 space for global unicast so far (RFC 4291 §2.4); anything else is special or unassigned. */
const GLOBAL_UNICAST = ipaddr.parseCIDR('2000::/3')

/** Whether an address is in no special-purpose network (RFC 6890). An IPv4-mapped address counts as its IPv4 address. */
export function isPublicAddress(address: string): boolean {
  // ipaddr.js also reads octal and shortened IPv4 addresses; the guard gets only complete addresses.
  if (isIP(address) === 0) return false
  const parsed = ipaddr.process(address)
  return parsed.range() === 'unicast' && (parsed.kind() === 'ipv4' || parsed.match(GLOBAL_UNICAST))
}
