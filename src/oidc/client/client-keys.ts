import { LRUCache } from 'lru-cache'
import type { Outbound } from '../../outbound/client.ts'
import { type Clock, HOUR_SECONDS, MINUTE_SECONDS } from '../../time.ts'

/** How long the keys behind a `jwks_uri` are used before they are fetched again: what is gone from there is over. */
export const CLIENT_KEYS_SECONDS = HOUR_SECONDS
/** Whatever keys a request claims to be signed with, and whatever came of the last fetch. */
const FETCH_PAUSE_SECONDS = MINUTE_SECONDS
const MAX_BODY_BYTES = 64 * 1024
const MAX_URLS = 200

type Fetched = { status: number; body: Uint8Array<ArrayBuffer> }

/**
 * The engine's `fetch`, for the keys of clients. The engine fetches again for every signature that fits no key, up to
 * once a minute while that succeeds and each time while it does not, and believes any `max-age`: a stranger could send
 * us to a client's server as often as they like, or a client keep a key for years. Here each URL is asked once a
 * minute, failures included, and what it says about caching is not passed on.
 */
export function createClientKeyFetch({
  outbound: { fetch },
  now,
}: {
  outbound: Pick<Outbound, 'fetch'>
  now: Clock
}): Outbound['fetch'] {
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
      // Leaving the loop ends the connection: what comes may be endless.
      if (length > MAX_BODY_BYTES) throw new Error('the keys are longer than 64 KB')
      chunks.push(chunk)
    }
    // A Response of its own may not be a redirect without a body, or have one where there is none.
    const status = response.status === 200 ? 200 : 502
    return { status, body: new Uint8Array(Buffer.concat(chunks)) }
  }
}
