import { LRUCache } from 'lru-cache'
import type { Log } from '../../log.ts'
import { type Clock, HOUR_SECONDS } from '../../time.ts'
import type { Doubt } from './client-address.ts'

const NOTICE_MILLISECONDS = HOUR_SECONDS * 1000
/** The least recently seen peer is dropped first: a proxy in use stays when other peers send the header. */
const PEERS_KEPT = 5

type ProxyFault = Exclude<Doubt, 'missing'>

/**
 * Warns about proxies whose `X-Forwarded-For` is not trusted: all clients behind one share its rate limits and its
 * address in audit events.
 */
export type ProxyNotices = Readonly<{
  /** Keeps the notice for an hour, and logs each fault at most once an hour. */
  record(peer: string, fault: ProxyFault): void
  /** The notices of the last hour, as sentences. */
  list(): string[]
}>

export function createProxyNotices({ log, now }: { log: Log; now: Clock }): ProxyNotices {
  const seen = new LRUCache<string, { message: string; at: number }>({ max: PEERS_KEPT })
  const loggedAt = new Map<ProxyFault, number>()
  const isRecent = (at = Number.NEGATIVE_INFINITY) => now().getTime() - at < NOTICE_MILLISECONDS

  return {
    record(peer, fault) {
      const message = messageOf(peer, fault)
      const at = now().getTime()
      seen.set(`${fault} ${peer}`, { message, at })
      if (isRecent(loggedAt.get(fault))) return
      loggedAt.set(fault, at)
      log.warn({ event: `proxy.${fault}`, peer, setting: 'TRUSTED_PROXIES', message })
    },
    list: () => [...seen.values()].filter(({ at }) => isRecent(at)).map(({ message }) => message),
  }
}

/** Never includes the header's value: a client may have written it. */
function messageOf(peer: string, fault: ProxyFault): string {
  switch (fault) {
    case 'untrusted':
      return `${peer} forwards requests and is not in TRUSTED_PROXIES: all people behind it count as one network. If it is your proxy, add it.`
    case 'unreadable':
      return `${peer} is in TRUSTED_PROXIES, but its X-Forwarded-For ends in no IP address: all people behind it count as one network. Have it send the address of its client there.`
  }
}
