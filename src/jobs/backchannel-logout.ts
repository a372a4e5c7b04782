import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Outbound } from '../oidc/outbound.ts'
import type { BackchannelLogoutStore, DueLogout } from '../store/backchannel-logout.ts'
import type { Changes } from '../store/changes.ts'
import { DAY_SECONDS } from '../time.ts'
import type { Job } from './scheduler.ts'

/** For what nobody woke us for: an attempt that is due again, a notice that was lost. */
const LOOK_SECONDS = 3
const TIDY_SECONDS = 15
const GIVE_UP_SECONDS = DAY_SECONDS
const GIVE_UP_ROWS = 500
const MOST_COUNTED = 100_000
const MOST_AT_ONCE = 8
const MOST_AT_ONCE_OF_ONE = 2
/** A client that cannot be reached is left alone this long: its other rows would only fill places of others. */
const REST_MILLISECONDS = 5_000

type Needs = {
  backchannelLogouts: BackchannelLogoutStore
  logoutToken: (due: DueLogout) => Promise<string>
  outbound: Pick<Outbound, 'fetch'>
  changes: Pick<Changes, 'subscribe'>
  metrics: Metrics
  log: Log
}

/**
 * Tells clients that sessions ended, at least once each (OpenID Connect Back-Channel Logout 1.0 §2.5): at once when an
 * ending anywhere wrote a row, and again with growing pauses until the client confirms or a day has passed.
 */
export function createBackchannelLogout(needs: Needs): { jobs: Job[]; stop: () => Promise<void> } {
  const { backchannelLogouts, logoutToken, outbound, metrics, log } = needs
  const running = new Map<Promise<void>, string>()
  const restsUntil = new Map<string, number>()
  let filling = Promise.resolve()
  let isWoken = false
  let isStopping = false

  needs.changes.subscribe('backchannel_logout', wake)

  return {
    jobs: [
      { name: 'back-channel logout', everySeconds: LOOK_SECONDS, run: fill },
      { name: 'back-channel logout, tidying', everySeconds: TIDY_SECONDS, run: tidy },
    ],
    /** Starts nothing more; resolves when what is on its way was answered or cut off. */
    async stop() {
      isStopping = true
      await filling.catch(() => {})
      await Promise.all(running.keys())
    },
  }

  function wake(): void {
    // The next look finds what this one could not, when the database is there again.
    fill().catch((error: unknown) => log.debug({ event: 'backchannel.delayed', ...reasonOf(error) }))
  }

  /** Fills the free places with rows that are due; who comes while that happens has it happen once more. */
  function fill(): Promise<void> {
    if (!isWoken) {
      isWoken = true
      filling = filling.catch(() => {}).then(fillPlaces)
    }
    return filling
  }

  async function fillPlaces(): Promise<void> {
    isWoken = false
    const free = MOST_AT_ONCE - running.size
    if (free === 0 || isStopping) return
    for (const due of await backchannelLogouts.claim(free, MOST_AT_ONCE_OF_ONE, busyClients())) start(due)
  }

  function start(due: DueLogout): void {
    const delivery = deliver(due).finally(() => {
      running.delete(delivery)
      wake()
    })
    running.set(delivery, due.clientId)
  }

  function busyClients(): string[] {
    const now = performance.now()
    for (const [clientId, until] of restsUntil) if (until <= now) restsUntil.delete(clientId)
    return [...new Set([...running.values(), ...restsUntil.keys()])]
  }

  /** One attempt. What fails stays in the outbox; its lease is the pause before the next. */
  async function deliver(due: DueLogout): Promise<void> {
    const about = { client: due.clientId, jti: due.id, attempt: due.attempts }
    try {
      const status = await send(due)
      // BCL §2.8: 200; 204 is what some frameworks make of an empty answer.
      if (status !== 200 && status !== 204) throw new Error(`the client answered ${status}`)
      await backchannelLogouts.confirm(due.id)
      metrics.backchannelLogouts.inc({ outcome: 'delivered' })
      log.info({ event: 'backchannel.success', ...about })
    } catch (error) {
      metrics.backchannelLogouts.inc({ outcome: 'failed' })
      log.warn({ event: 'backchannel.error', ...about, ...reasonOf(error) })
    }
  }

  /** @returns the status of the answer. Its body says nothing that we need, and could be endless. */
  async function send(due: DueLogout): Promise<number> {
    const body = new URLSearchParams({ logout_token: await logoutToken(due) })
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    try {
      const response = await outbound.fetch(due.uri, { method: 'POST', headers, body })
      await response.body?.cancel()
      return response.status
    } catch (error) {
      restsUntil.set(due.clientId, performance.now() + REST_MILLISECONDS)
      throw error
    }
  }

  async function tidy(): Promise<void> {
    const givenUp = await backchannelLogouts.giveUp(GIVE_UP_SECONDS, GIVE_UP_ROWS)
    if (givenUp > 0) {
      metrics.backchannelLogouts.inc({ outcome: 'given_up' }, givenUp)
      log.warn({ event: 'backchannel.given_up', logouts: givenUp })
    }
    metrics.backchannelLogoutsPending.set(await backchannelLogouts.countPending(MOST_COUNTED))
  }
}

function reasonOf(error: unknown): { error: string; cause?: string } {
  if (!(error instanceof Error)) return { error: String(error) }
  return {
    error: error.message,
    ...(error.cause instanceof Error ? { cause: error.cause.message } : {}),
  }
}
