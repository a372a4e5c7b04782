import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Outbound } from '../outbound/client.ts'
import type { BackchannelLogoutStore, DueLogout } from '../store/outbox/backchannel-logout.ts'
import { DAY_SECONDS } from '../time.ts'
import { type Outbox, toLogFields } from './delivery.ts'

const GIVE_UP_SECONDS = DAY_SECONDS
const GIVE_UP_ROWS = 500
const MOST_COUNTED = 100_000
const MOST_AT_ONCE = 8
const MOST_AT_ONCE_OF_ONE = 2

type Needs = {
  backchannelLogouts: BackchannelLogoutStore
  logoutToken: (due: DueLogout) => Promise<string>
  outbound: Pick<Outbound, 'fetch'>
  metrics: Metrics
  log: Log
}

/**
 * Sends logout tokens to clients, at least once each (OpenID Connect Back-Channel Logout 1.0 §2.5). Retries with growing
 * pauses until the client confirms or a day has passed.
 */
export function createBackchannelLogout(needs: Needs): Outbox<DueLogout> {
  const { backchannelLogouts, logoutToken, outbound, metrics, log } = needs

  return {
    name: 'back-channel logout',
    table: 'backchannel_logout',
    mostAtOnce: MOST_AT_ONCE,
    claim: (most, { running, backedOff }) =>
      backchannelLogouts.claim(most, MOST_AT_ONCE_OF_ONE, [...new Set([...running, ...backedOff])]),
    recipientOf: ({ clientId }) => clientId,

    async deliver(due, backOff) {
      const about = { client: due.clientId, jti: due.id, attempt: due.attempts }
      try {
        const status = await send(due, backOff)
        // 200 (Back-Channel Logout §2.8). Some frameworks send 204 for an empty response.
        if (status !== 200 && status !== 204) throw new Error(`the client answered ${status}`)
        await backchannelLogouts.confirm(due.id)
        metrics.backchannelLogouts.inc({ outcome: 'delivered' })
        log.info({ event: 'backchannel.success', ...about })
      } catch (error) {
        metrics.backchannelLogouts.inc({ outcome: 'failed' })
        log.warn({ event: 'backchannel.error', ...about, ...toLogFields(error) })
      }
    },

    async expire() {
      const givenUp = await backchannelLogouts.giveUp(GIVE_UP_SECONDS, GIVE_UP_ROWS)
      if (givenUp > 0) {
        metrics.backchannelLogouts.inc({ outcome: 'given_up' }, givenUp)
        log.warn({ event: 'backchannel.given_up', logouts: givenUp })
      }
      metrics.backchannelLogoutsPending.set(await backchannelLogouts.countPending(MOST_COUNTED))
    },
  }

  /** @returns the status of the response. The body is cancelled: it is not needed, and could be endless. */
  async function send(due: DueLogout, backOff: () => void): Promise<number> {
    const body = new URLSearchParams({ logout_token: await logoutToken(due) })
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    try {
      const response = await outbound.fetch(due.uri, { method: 'POST', headers, body })
      await response.body?.cancel()
      return response.status
    } catch (error) {
      backOff()
      throw error
    }
  }
}
