import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'

/**
 * Change notification: how a process learns that another instance, or this one, changed a table that it keeps in memory
 * or takes work from. Triggers of the watched tables send `NOTIFY` with the commit of the change.
 */

/** Tables that instances cache, and outbox tables that bring them work. */
export type WatchedTable = 'oidc_client' | 'resource' | 'signing_key' | 'backchannel_logout' | 'mail'

export type ChangeNotifications = {
  /** Calls the listener on each change, and without one when notifications may have been lost. */
  subscribe(table: WatchedTable, listener: () => void): void
  /** Notifies the listeners of this process of its own change, before the database's notification arrives. */
  notifyLocally(table: WatchedTable): void
  /** How long a row may be cached while no notification arrives. */
  maxAgeMilliseconds(): number
  close(): Promise<void>
}

/** While notifications arrive, this limits the damage of an unforeseen loss. */
const LISTENING_MAX_AGE_MILLISECONDS = 60_000
/** While they do not arrive (connection lost, a pooler without LISTEN), this is the age of the oldest cached row. */
const UNNOTIFIED_MAX_AGE_MILLISECONDS = 500
const HEARTBEAT_MILLISECONDS = 500
/** No heartbeat for this long: assume lost notifications. Together with the maximum age this stays within a second. */
const SILENCE_MILLISECONDS = 900
const ANSWER_MILLISECONDS = 1_000
const CONNECT_MILLISECONDS = 2_000
const RETRY_MILLISECONDS = 1_000
/** The channel to which the triggers of the watched tables send notifications. */
export const CHANNEL = 'sallyport_change'

/** Notifications of the embedded database, which serves one process. It passes each to `receive`. */
export function createLocalNotifications(): ChangeNotifications & { receive: (table: string) => void } {
  const { subscribe, notify } = createSubscriptions()
  return {
    subscribe,
    notifyLocally: notify,
    receive: notify,
    maxAgeMilliseconds: () => LISTENING_MAX_AGE_MILLISECONDS,
    close: async () => {},
  }
}

/**
 * Listens for the notifications of a Postgres server. A heartbeat, sent to itself twice a second, proves that
 * notifications arrive. Without it cached rows are short-lived, and they are dropped when notifications arrive again.
 */
export function listenForNotifications(url: string): ChangeNotifications {
  const { subscribe, notify, notifyAll } = createSubscriptions()
  const closing = new AbortController()
  let isListening = false
  let receivedAt = 0
  const listening = keepListening()

  return {
    subscribe,
    notifyLocally: notify,
    maxAgeMilliseconds() {
      const isUnnotified = !isListening || performance.now() - receivedAt > SILENCE_MILLISECONDS
      return isUnnotified ? UNNOTIFIED_MAX_AGE_MILLISECONDS : LISTENING_MAX_AGE_MILLISECONDS
    },
    async close() {
      closing.abort()
      await listening
    },
  }

  async function keepListening(): Promise<void> {
    while (!closing.signal.aborted) {
      await listen().catch(() => {})
      isListening = false
      notifyAll()
      await pause(RETRY_MILLISECONDS, undefined, { signal: closing.signal }).catch(() => {})
    }
  }

  /** Rejects when notifications do not arrive. */
  async function listen(): Promise<void> {
    const client = new pg.Client({
      connectionString: url,
      application_name: 'sallyport (changes)',
      connectionTimeoutMillis: CONNECT_MILLISECONDS,
      query_timeout: ANSWER_MILLISECONDS,
      keepAlive: true,
    })
    // The next heartbeat detects a lost connection; an `error` event without a listener would end the process.
    client.on('error', () => {})
    try {
      await client.connect()
      client.on('notification', ({ payload = '' }) => {
        if (payload === '') receivedAt = performance.now()
        else notify(payload)
      })
      // A channel for this process alone, so that other instances do not receive its heartbeat.
      const heartbeat = `sallyport_heartbeat_${crypto.randomUUID().replaceAll('-', '')}`
      await client.query(`listen ${CHANNEL}`)
      await client.query(`listen ${heartbeat}`)
      while (!closing.signal.aborted) {
        const beatAt = performance.now()
        await client.query(`notify ${heartbeat}`)
        await pause(HEARTBEAT_MILLISECONDS, undefined, { signal: closing.signal }).catch(() => {})
        if (closing.signal.aborted) return
        if (receivedAt < beatAt) throw new Error('notifications do not arrive')
        if (!isListening) notifyAll()
        isListening = true
      }
    } finally {
      await client.end().catch(() => {})
    }
  }
}

function createSubscriptions() {
  const listeners = new Map<string, (() => void)[]>()
  return {
    subscribe(table: WatchedTable, listener: () => void): void {
      listeners.set(table, [...(listeners.get(table) ?? []), listener])
    },
    notify(table: string): void {
      for (const listener of listeners.get(table) ?? []) listener()
    },
    notifyAll(): void {
      for (const listener of [...listeners.values()].flat()) listener()
    },
  }
}
