import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { Nearness } from '../ui/view-models.ts'

/** A network in canonical form. `budget` multiplies the limit of a single subscriber. */
type Network = Readonly<{ prefix: string; budget: number }>

/**
 * The IPv6 prefixes that are counted, narrowest first. A subscriber has a /64 at least and may have a /56 or a /48 (RFC
 * 6177 §2). A wide prefix has a larger budget because it may also be shared by many subscribers with a /64 each.
 */
const IPV6_PREFIXES = [
  { bytes: 8, budget: 1 },
  { bytes: 7, budget: 4 },
  { bytes: 6, budget: 16 },
]

const UNKNOWN: Network = { prefix: 'unknown', budget: 1 }

/** The networks of an address, narrowest first: an IPv4 address itself, or the /64, /56 and /48 of an IPv6 address. */
export function networksOf(address: string): Network[] {
  const parsed = parseAddress(address)
  if (!parsed) return [UNKNOWN]
  const bytes = parsed.toByteArray()
  if (bytes.length === IPV4_BYTES) return [{ prefix: parsed.toString(), budget: 1 }]
  return IPV6_PREFIXES.map(({ bytes: length, budget }) => ({ prefix: prefixOf(bytes, length), budget }))
}

/** The narrowest counted network of an address: the smallest allocation of one subscriber. */
export function networkOf(address: string): string {
  return (networksOf(address)[0] ?? UNKNOWN).prefix
}

/** The widest counted network of an address: all addresses of one subscriber share it. */
export function widestNetworkOf(address: string): string {
  return (networksOf(address).at(-1) ?? UNKNOWN).prefix
}

/** The site (household or company) of an address, as far as the address shows: a /24 of IPv4, a /48 of IPv6. */
export function siteOf(address: string): string {
  const bytes = parseAddress(address)?.toByteArray()
  if (!bytes) return UNKNOWN.prefix
  return prefixOf(bytes, bytes.length === IPV4_BYTES ? 3 : 6)
}

/** Ranges of proxies and container gateways: clients behind such an address may be anywhere. */
const INNER_RANGES = ['loopback', 'private', 'linkLocal', 'uniqueLocal', 'unspecified']

/**
 * Compares the addresses of two requests. The caller passes undefined for an address that may be a proxy's, and allows
 * inner addresses only on a server that serves its own machine.
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

/**
 * Unwraps an IPv4 address embedded in IPv6 (mapped, 6to4, NAT64, Teredo): its owner is one subscriber in every form.
 */
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
    case 'teredo': // the bits are inverted (RFC 4380 §4)
      return ipaddr.fromByteArray(bytes.slice(12).map((byte) => byte ^ 0xff))
    default:
      return parsed
  }
}

function prefixOf(bytes: readonly number[], length: number): string {
  const network = bytes.map((byte, index) => (index < length ? byte : 0))
  return `${ipaddr.fromByteArray(network)}/${length * 8}`
}
