import { LRUCache } from 'lru-cache'
import type { Outbound } from '../../outbound/client.ts'
import { type Clock, HOUR_SECONDS, MINUTE_SECONDS } from '../../time.ts'

/** How long the keys of a `jwks_uri` are used: removed keys stop working within an hour. */
export const CLIENT_KEYS_SECONDS = HOUR_SECONDS
/** The least time between two fetches of one URL. */
const FETCH_PAUSE_SECONDS = MINUTE_SECONDS
const MAX_BODY_BYTES = 64 * 1024
const MAX_URLS = 200

type Fetched = { status: number; body: Uint8Array<ArrayBuffer> }

type Needs = { outbound: Pick<Outbound, 'fetch'>; now: Clock }

/**
 * The engine's `fetch`, for the keys of clients. The engine fetches again for every signature that fits no key: once a
 * minute while fetches succeed, each time while they fail. It also trusts any `max-age`. An attacker could direct many
 * requests at a client's server, or a client keep a key for years. Here each URL is fetched once a minute, failures
 * included, and its caching headers are dropped.
 */
export function createClientKeyFetch({ outbound: { fetch }, now }: Needs): Outbound['fetch'] {
  const recent = new LRUCache<string, Promise<Fetched>>({
    max: MAX_URLS,
    ttl: FETCH_PAUSE_SECONDS * 1000,
    perf: { now: () => now().getTime() },
  })

  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input).href
    const fetching = recent.get(url) ?? download(url, init)
    recent.set(url, fetching, { noUpdateTTL: true })
    const { status, body } = await fetching
    return new Response(body, { status })
  }

  async function download(url: string, init?: RequestInit): Promise<Fetched> {
    const response = await fetch(url, init)
    const chunks: Uint8Array[] = []
    let length = 0
    for await (const chunk of response.body ?? []) {
      length += chunk.length
      // Leaving the loop closes the connection: the body may be endless.
      if (length > MAX_BODY_BYTES) throw new Error('the keys are longer than 64 KB')
      chunks.push(chunk)
    }
    // `new Response` accepts no body for some statuses.
    const status = response.status === 200 ? 200 : 502
    return { status, body: new Uint8Array(Buffer.concat(chunks)) }
  }
}
