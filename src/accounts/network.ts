import ipaddr from 'ipaddr.js'

const NETWORK_BYTES = 8

/** Whether two addresses are of one network; undefined when one is IPv4 and the other IPv6: a home has both. */
export function isNear(address: string, other: string): boolean | undefined {
  if (address.includes(':') !== other.includes(':')) return undefined
  return networkOf(address) === networkOf(other)
}

/**
 * What one subscriber has: an IPv4 address, or the /64 of an IPv6 address, within which anybody has any number of
 * addresses. In one spelling each.
 */
export function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return address
  const parsed = ipaddr.process(address)
  if (parsed.kind() === 'ipv4') return parsed.toString()
  const bytes = parsed.toByteArray().fill(0, NETWORK_BYTES)
  return `${ipaddr.fromByteArray(bytes)}/64`
}
