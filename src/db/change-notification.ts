import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'

/** The tables that instances keep in memory, and those that bring them work. */
export type WatchedTable = 'oidc_client' | 'resource' | 'signing_key' | 'backchannel_logout' | 'mail'

/**
 * How this process learns that a table which it keeps in memory was changed, here or by another instance.
 */
export type Changes = {
  /** Called on each change; may be called without one, when changes may have been missed. */
  subscribe(table: WatchedTable, listener: () => void): void
  /** A change of our own: nobody here may read the old state after it. */
  announce(table: WatchedTable): void
  /** For how long what was read may be kept without hearing of a change. */
  maxAgeMilliseconds(): number
  close(): Promise<void>
}

/** While the database tells us of changes, memory is a copy; the limit is for what nobody foresaw. */
const LISTENING_MAX_AGE_MILLISECONDS = 60_000
/** While it does not (connection lost, a pooler that drops notices), nothing is older than this. */
const DEAF_MAX_AGE_MILLISECONDS = 500
const HEARTBEAT_MILLISECONDS = 500
/** Who heard no heartbeat for this long may have missed a change: it is noticed within a second of it. */
const SILENCE_MILLISECONDS = 900
const ANSWER_MILLISECONDS = 1_000
const CONNECT_MILLISECONDS = 2_000
const RETRY_MILLISECONDS = 1_000
/** Where the triggers of the watched tables tell of changes. */
export const CHANNEL = 'sallyport_change'

/** Changes of one process alone: the embedded database has no other, and calls `hear` with its notices. */
export function createLocalChanges(): Changes & { hear: (payload: string) => void } {
  const { subscribe, announce } = createSubscriptions()
  return {
    subscribe,
    announce,
    hear: announce,
    maxAgeMilliseconds: () => LISTENING_MAX_AGE_MILLISECONDS,
    close: async () => {},
  }
}

/**
 * Changes that a Postgres server tells of (`NOTIFY` by triggers, with the commit of the change). A notice to
 * ourselves twice a second proves that notices arrive: without it memory is short-lived, and is emptied when they are
 * back.
 */
export function listenForChanges(url: string): Changes {
  const { subscribe, announce, announceAll } = createSubscriptions()
  const closing = new AbortController()
  let isListening = false
  let heardAt = 0
  const listening = keepListening()

  return {
    subscribe,
    announce,
    maxAgeMilliseconds() {
      const isDeaf = !isListening || performance.now() - heardAt > SILENCE_MILLISECONDS
      return isDeaf ? DEAF_MAX_AGE_MILLISECONDS : LISTENING_MAX_AGE_MILLISECONDS
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
      announceAll()
      await pause(RETRY_MILLISECONDS, undefined, { signal: closing.signal }).catch(() => {})
    }
  }

  /** Rejects when notices do not arrive. */
  async function listen(): Promise<void> {
    const client = new pg.Client({
      connectionString: url,
      application_name: 'sallyport (changes)',
      connectionTimeoutMillis: CONNECT_MILLISECONDS,
      query_timeout: ANSWER_MILLISECONDS,
      keepAlive: true,
    })
    // Its loss shows in the next heartbeat; without a listener it would end the process.
    client.on('error', () => {})
    try {
      await client.connect()
      client.on('notification', ({ payload = '' }) => {
        if (payload === '') heardAt = performance.now()
        else announce(payload)
      })
      // A channel of our own for the heartbeat: other instances need not hear it.
      const heartbeat = `sallyport_heartbeat_${crypto.randomUUID().replaceAll('-', '')}`
      await client.query(`listen ${CHANNEL}`)
      await client.query(`listen ${heartbeat}`)
      while (!closing.signal.aborted) {
        const beatAt = performance.now()
        await client.query(`notify ${heartbeat}`)
        await pause(HEARTBEAT_MILLISECONDS, undefined, { signal: closing.signal }).catch(() => {})
        if (closing.signal.aborted) return
        if (heardAt < beatAt) throw new Error('notices do not arrive')
        if (!isListening) announceAll()
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
    announce(table: string): void {
      for (const listener of listeners.get(table) ?? []) listener()
    },
    announceAll(): void {
      for (const listener of [...listeners.values()].flat()) listener()
    },
  }
}
