import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** A network that an address belongs to, in one spelling, and how many times a subscriber's attempts it may make. */
export type Network = Readonly<{ prefix: string; budget: number }>

/**
 * Prefixes of IPv6 that are counted, narrowest first. A subscriber has a /64 at least and may have a /56 or a /48
 * (RFC 6177 §2), which holds as many /64s as anybody could want; or it is shared by many subscribers, each with a /64.
 */
const IPV6_PREFIXES = [
  { bytes: 8, budget: 1 },
  { bytes: 7, budget: 4 },
  { bytes: 6, budget: 16 },
] as const

const UNKNOWN: Network = { prefix: 'unknown', budget: 1 }

/** Networks that hold an address, narrowest first: an IPv4 address itself, or the /64, /56 and /48 of an IPv6 address. */
export function networksOf(address: string): [Network, ...Network[]] {
  const parsed = parseAddress(address)
  if (!parsed) return [UNKNOWN]
  const bytes = parsed.toByteArray()
  if (bytes.length === IPV4_BYTES) return [{ prefix: parsed.toString(), budget: 1 }]
  const [narrowest, ...wider] = IPV6_PREFIXES
  const toNetwork = ({ bytes: length, budget }: (typeof IPV6_PREFIXES)[number]): Network => ({
    prefix: prefixOf(bytes, length),
    budget,
  })
  return [toNetwork(narrowest), ...wider.map(toNetwork)]
}

/** The narrowest network that is counted for an address: what one subscriber has at least. */
export function networkOf(address: string): string {
  return networksOf(address)[0].prefix
}

/** The widest one: two addresses of one customer have it in common. */
export function widestNetworkOf(address: string): string {
  const networks = networksOf(address)
  return (networks.at(-1) ?? networks[0]).prefix
}

/** What one household or company has, as far as an address tells: a /24 of IPv4, a /48 of IPv6. */
export function siteOf(address: string): string {
  const bytes = parseAddress(address)?.toByteArray()
  if (!bytes) return UNKNOWN.prefix
  return prefixOf(bytes, bytes.length === IPV4_BYTES ? 3 : 6)
}

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

const IPV4_BYTES = 4

type Address = ReturnType<typeof ipaddr.parse>

/** Where IPv6 only carries an IPv4 address, the IPv4 address: its owner is one subscriber, in whatever form. */
function parseAddress(address = ''): Address | undefined {
  if (isIP(address) === 0) return undefined
  const parsed = ipaddr.process(address)
  const bytes = parsed.toByteArray()
  switch (parsed.range()) {
    case 'rfc6145': // IPv4-translated
    case 'rfc6052': // NAT64
      return ipaddr.fromByteArray(bytes.slice(12))
    case '6to4':
      return ipaddr.fromByteArray(bytes.slice(2, 6))
    case 'teredo': // with its bits inverted (RFC 4380 §4)
      return ipaddr.fromByteArray(bytes.slice(12).map((byte) => byte ^ 0xff))
    default:
      return parsed
  }
}

function prefixOf(bytes: readonly number[], length: number): string {
  const network = bytes.map((byte, index) => (index < length ? byte : 0))
  return `${ipaddr.fromByteArray(network)}/${length * 8}`
}
