/**
 * Room outbound/: HTTP requests to URLs that clients registered, with SSRF protection. `guarded-agent.ts` checks the
 * address of each connection, `public-address.ts` recognises special-purpose addresses.
 */
import { BlockList, isIP } from 'node:net'
import { fetch } from 'undici'
import { createGuardedAgent } from './guarded-agent.ts'
import { isPublicAddress } from './public-address.ts'

const TIMEOUT_MILLISECONDS = 2_500

/**
 * The HTTP client for URLs that clients registered (keys, back-channel logout), with SSRF protection (CWE-918): https
 * and public addresses only, checked again on the connected socket; no redirects; 2.5 s in all.
 *
 * @param allowedNetworks private CIDR networks that requests may reach, also over http.
 */
export function createOutbound(allowedNetworks: readonly string[]) {
  const isAllowed = createNetworkCheck(allowedNetworks)
  const acceptedBy: Record<string, (address: string) => boolean> = {
    'https:': (address) => isAllowed(address) || isPublicAddress(address),
    'http:': isAllowed,
  }
  const agents = Object.fromEntries(
    Object.entries(acceptedBy).map(([protocol, accepts]) => [protocol, createGuardedAgent(accepts)]),
  )

  /** Why a URL cannot be registered, as far as it shows without DNS; undefined for an acceptable URL. */
  function fault(uri: string): string | undefined {
    const url = URL.parse(uri)
    const accepts = url && acceptedBy[url.protocol]
    if (!accepts) return 'must be an https URL'
    if (url.username || url.password) return 'must not have credentials'
    // DNS is not asked for an address, so the agent's lookup never sees one.
    const address = url.hostname === 'localhost' ? '127.0.0.1' : url.hostname.replace(/^\[|\]$/g, '')
    if (isIP(address))
      return accepts(address)
        ? undefined
        : 'leads to an address that OUTBOUND_ALLOWED_NETWORKS does not allow'
    return url.protocol === 'http:' && allowedNetworks.length === 0 ? 'must be an https URL' : undefined
  }

  return {
    fault,

    /** A `fetch` that rejects a URL whose address is not allowed. */
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
      // Node bundles its own undici: its Response is another version of this class.
      return response as unknown as Response
    },

    async close(): Promise<void> {
      await Promise.all(Object.values(agents).map((agent) => agent.close()))
    },
  }
}

/** Whether an address is in one of the networks. An IPv4-mapped address counts as its IPv4 address. */
function createNetworkCheck(networks: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', prefix = isIP(address) === 6 ? 128 : 32] = network.split('/')
    list.addSubnet(address, Number(prefix), familyOf(address))
  }
  return (address) => isIP(address) !== 0 && list.check(address, familyOf(address))
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4'
}

export type Outbound = ReturnType<typeof createOutbound>
