import { isIP } from 'node:net'
import { fetch } from 'undici'
import { createGuardedAgent } from './guarded-agent.ts'
import { contains, PRIVATE_NETWORKS, toBlockList } from './networks.ts'

const TIMEOUT_MILLISECONDS = 2_500

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
    Object.entries(acceptedBy).map(([protocol, accepts]) => [protocol, createGuardedAgent(accepts)]),
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
