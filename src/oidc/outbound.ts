import { lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { Agent, fetch } from 'undici'

const TIMEOUT_MILLISECONDS = 2_500

/** Special-use networks that a client's own URL must not lead to (RFC 6890 and its updates). */
const PRIVATE_NETWORKS = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '::/128',
  '::1/128',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
]

/**
 * Requests to URLs that clients registered (keys, back-channel logout), kept from reaching inside: https and public
 * addresses only, judged on the address that is connected to; no redirects; 2.5 s in all.
 *
 * @param allowedNetworks CIDR networks that are reachable although private, also over http.
 */
export function createOutbound(allowedNetworks: readonly string[]) {
  const privateNetworks = toBlockList(PRIVATE_NETWORKS)
  const allowed = toBlockList(allowedNetworks)
  const acceptedBy: Record<string, (address: string) => boolean> = {
    'https:': (address) => contains(allowed, address) || !contains(privateNetworks, address),
    'http:': (address) => contains(allowed, address),
  }
  const agents = Object.fromEntries(
    Object.entries(acceptedBy).map(([protocol, accepts]) => [
      protocol,
      new Agent({ connect: { lookup: guardedLookup(accepts) } }),
    ]),
  )

  /** Why a URL cannot be registered: what is certain before any look-up. undefined when nothing speaks against it. */
  function fault(uri: string): string | undefined {
    const url = URL.parse(uri)
    const accepts = url && acceptedBy[url.protocol]
    if (!accepts) return 'must be an https URL'
    if (url.username || url.password) return 'must not have credentials'
    // A literal address is never looked up.
    const address = url.hostname === 'localhost' ? '127.0.0.1' : url.hostname.replace(/^\[|\]$/g, '')
    if (isIP(address))
      return accepts(address)
        ? undefined
        : 'leads to an address that OUTBOUND_ALLOWED_NETWORKS does not allow'
    return url.protocol === 'http:' && allowedNetworks.length === 0 ? 'must be an https URL' : undefined
  }

  return {
    fault,

    /** A `fetch` that rejects when the address is refused. */
    async fetch(
      input: string | URL | Request,
      { method = 'GET', headers, body }: RequestInit = {},
    ): Promise<Response> {
      const url = new URL(input instanceof Request ? input.url : input)
      const reason = fault(url.href)
      const dispatcher = agents[url.protocol]
      if (reason || !dispatcher) throw new Error(`${url.origin} ${reason}`)
      const response = await fetch(url, {
        method,
        headers: Object.fromEntries(new Headers(headers)),
        ...(body == null ? {} : { body: String(body) }),
        redirect: 'manual',
        signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
        dispatcher,
      })
      // undici's Response and the global one are the same class in two versions.
      return response as unknown as Response
    },

    async close(): Promise<void> {
      await Promise.all(Object.values(agents).map((agent) => agent.close()))
    },
  }
}

export type Outbound = ReturnType<typeof createOutbound>

function guardedLookup(accepts: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, [])
      const reachable = addresses.filter(({ address }) => accepts(address))
      if (reachable.length === 0)
        return callback(new Error(`${hostname} leads to an address that is not allowed`), [])
      callback(null, reachable)
    })
  }
}

function toBlockList(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', prefix] = network.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    list.addSubnet(address, prefix === undefined ? (family === 'ipv6' ? 128 : 32) : Number(prefix), family)
  }
  return list
}

function contains(list: BlockList, address: string): boolean {
  const family = isIP(address)
  // An IPv4-mapped IPv6 address is judged as the IPv4 address that it reaches; BlockList does so by itself.
  return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4')
}
