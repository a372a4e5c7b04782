import type { Config } from '../config/config.ts'
import { cleanupJobs } from '../jobs/cleanup-job.ts'
import { type Job, startJobs } from '../jobs/scheduler.ts'
import type { Log } from '../log.ts'
import { createMailRenderer } from '../mail/render.ts'
import type { Transport } from '../mail/transport.ts'
import { createLogoutTokens } from '../oidc/logout-token.ts'
import { createBackchannelLogout } from '../outbox/backchannel-logout-delivery.ts'
import { createDeliveries } from '../outbox/delivery.ts'
import { createMailDelivery } from '../outbox/mail-delivery.ts'
import type { Messages } from '../ui/messages.ts'
import type { Templates } from '../ui/templates.ts'
import type { Engines } from './engine.ts'
import type { Installation } from './installation.ts'

type Needs = {
  engines: Engines
  /** Undefined when no mail is sent. */
  transport: Transport | undefined
  pages: { messages: Messages; templates: Templates }
  serverJobs: readonly Job[]
  log: Log
}

/** Starts the jobs: clean-up, back-channel logout and mail, beside those of the server. */
export function startBackgroundWork(config: Config, installation: Installation, needs: Needs) {
  const { issuer, brand } = config
  const { clock, notifications, cleanup, metrics, outbound, stores, vault } = installation
  const { engines, transport, pages, log } = needs
  const { messages, templates } = pages
  const logouts = createBackchannelLogout({
    backchannelLogouts: stores.backchannelLogouts,
    logoutToken: createLogoutTokens({ issuer, jwks: engines.jwks, now: clock.now }),
    outbound,
    metrics,
    log,
  })
  const render = createMailRenderer({ brand, issuer, messages, templates })
  const deliveries = [createDeliveries(logouts, { notifications, log })]
  if (transport) {
    const mail = createMailDelivery({ mail: stores.mail, vault, transport, render, metrics, log })
    deliveries.push(createDeliveries(mail, { notifications, log }))
  }
  const jobs = startJobs(
    [
      ...needs.serverJobs,
      ...cleanupJobs({ cleanup, metrics, log }),
      ...deliveries.flatMap((delivery) => delivery.jobs),
    ],
    { log },
  )
  return {
    stopJobs: jobs.stop,
    async stopDeliveries(): Promise<void> {
      for (const delivery of deliveries) await delivery.stop()
    },
  }
}
