import ipaddr from 'ipaddr.js'

const NETWORK_BYTES = 8

/** Whether two requests came from one network. A home has IPv4 and IPv6: one of each is `unknown`. */
export type Nearness = 'near' | 'far' | 'unknown'

/** What a proxy or a container gateway in front of the server has: clients behind it may be anywhere. */
const INNER_RANGES = ['loopback', 'private', 'linkLocal', 'uniqueLocal', 'unspecified']

/**
 * Compares the addresses of two requests. An address that was never a client's proves nothing: the caller passes
 * undefined for one that is in doubt, and inner addresses count on a server for this machine alone.
 */
export function nearnessOf(
  address: string | undefined,
  other: string | undefined,
  { isLocal }: { isLocal: boolean },
): Nearness {
  const [one, two] = [parseAddress(address), parseAddress(other)]
  if (!one || !two) return 'unknown'
  const areInner = [one, two].map((parsed) => INNER_RANGES.includes(parsed.range()))
  if (isLocal && one.range() === 'loopback' && two.range() === 'loopback') return 'near'
  if (one.kind() !== two.kind()) return 'unknown'
  if (networkOf(one.toString()) !== networkOf(two.toString())) return 'far'
  return areInner.includes(true) && !isLocal ? 'unknown' : 'near'
}

function parseAddress(address = '') {
  return ipaddr.isValid(address) ? ipaddr.process(address) : undefined
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
