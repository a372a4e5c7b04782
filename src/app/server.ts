/**
 * Room app/: the composition root, which alone knows every part. server.ts has the order of a start and a stop;
 * installation.ts opens what the server shares with the command line; engine.ts, public-app.ts and health.ts build what
 * answers; listeners.ts binds the ports; background-work.ts starts the jobs.
 */

import { setTimeout as pause } from 'node:timers/promises'
import type Koa from 'koa'
import { createRememberMe } from '../accounts/remember-me.ts'
import type { Admin } from '../admin/admin.ts'
import type { Config } from '../config/config.ts'
import { createOverloadNotices } from '../http/listener/load-limit.ts'
import { createDeviceCookies } from '../http/login/device-cookie.ts'
import { createViews, type Views } from '../http/pages/views.ts'
import { securityHeaders } from '../http/transport/headers.ts'
import { createProxyNotices } from '../http/transport/proxy-notices.ts'
import { createClockWatch } from '../jobs/clock-watch.ts'
import { createHeartbeatJob } from '../jobs/heartbeat.ts'
import type { Log } from '../log.ts'
import { createMailTransport } from '../mail/transport.ts'
import { createRefreshReplay } from '../oidc/token/refresh-replay.ts'
import { createUndeliveredAnswers } from '../oidc/token/undelivered-answers.ts'
import type { Clock } from '../time.ts'
import { openInteractionFiles } from '../ui/files.ts'
import { loadMessages } from '../ui/messages.ts'
import { compileTemplates } from '../ui/templates.ts'
import { startBackgroundWork } from './background-work.ts'
import { buildEngines } from './engine.ts'
import { buildHealthApp } from './health.ts'
import { type Installation, openInstallation } from './installation.ts'
import { bindListeners, boundAddress, type Listeners, urlOf } from './listeners.ts'
import { buildPublicApp } from './public-app.ts'

const START_ATTEMPTS = 30

export type RunningServer = Readonly<{
  /** Where the public listener answers on this machine. */
  url: string
  managementUrl: string
  admin: Admin
  /**
   * Stops gracefully: reports not ready, closes each connection after its next answer, and after the pause finishes
   * running requests (at most 25 s) and closes. A second call waits for the first.
   */
  stop(options?: Stopping): Promise<void>
}>

/** Time for a load balancer, which notices readiness late, and for clients whose connections it keeps. */
export type Stopping = Readonly<{
  /** How long the server keeps accepting and answering. */
  pauseMilliseconds?: number
  /** After the pause: how long connections are still accepted while new ones arrive, and idle ones stay open. */
  graceMilliseconds?: number
}>

type Options = {
  log: Log
  /** This machine's clock; the database's clock decides. */
  now?: Clock | undefined
  /** Runs after the ports are bound and before anything is answered: credentials that it shows once are not lost. */
  prepare?: (admin: Admin) => Promise<void>
  /** Aborts the start; once the promise resolves, only `stop` ends the server. */
  signal?: AbortSignal
}

/** Starts the server: opens the installation, builds the parts, binds both ports, prepares, and starts the jobs. */
export async function startServer(
  config: Config,
  { log, now, prepare, signal }: Options,
): Promise<RunningServer> {
  const pages = openPages(config, log)
  // Orchestrators start everything at once: the database may need longer than this process.
  const installation = await openInstallation(config, { log, now, attempts: START_ATTEMPTS, signal })
  const parts = buildParts(config, installation, { views: pages.views, log })
  const { clockWatch, engines, heartbeatJob, proxyNotices, transport } = parts
  let stopped: Promise<void> | undefined
  const isAccepting = () => stopped === undefined
  const health = buildHealthApp(installation, { clockWatch, proxyNotices, isAccepting })
  const listeners = await bindBoth(config, installation, { app: parts.app, health, log }).catch(
    closeInstallation,
  )
  try {
    // The last check: credentials that `prepare` shows must belong to a server that starts.
    signal?.throwIfAborted()
    await prepare?.(installation.admin)
    await parts.rememberMe.enforce()
    await heartbeatJob.begin()
    // Loading blocks the event loop for a moment, so it happens before the first answer.
    await installation.passwords.rules.load()
    listeners.open()
  } catch (error) {
    await listeners.close()
    return await closeInstallation(error)
  }
  logMail(config, log)
  const background = startBackgroundWork(config, installation, {
    engines,
    transport,
    pages,
    serverJobs: [clockWatch.job, heartbeatJob.job],
    log,
  })
  logListening(config, listeners, log)

  return {
    url: urlOf(listeners.main),
    managementUrl: urlOf(listeners.management),
    admin: installation.admin,
    stop(options = {}) {
      stopped ??= stop(options)
      return stopped
    },
  }

  async function stop({ pauseMilliseconds = 0, graceMilliseconds = 0 }: Stopping): Promise<void> {
    log.info({ event: 'stopping' })
    listeners.main.closeAfterAnswers()
    await pause(pauseMilliseconds)
    await listeners.main.close({ graceMilliseconds })
    await listeners.management.close()
    await background.stopJobs()
    await heartbeatJob.leave()
    await background.stopDeliveries()
    await installation.close()
    log.info({ event: 'stopped' })
  }

  async function closeInstallation(error: unknown): Promise<never> {
    await installation.close()
    throw error
  }
}

/** Loads the templates and messages first, so that their faults are reported before anything is opened. */
function openPages({ brand, issuer, templatesDir }: Config, log: Log) {
  const files = openInteractionFiles(templatesDir)
  const messages = loadMessages(files, { log })
  const templates = compileTemplates(files, messages)
  return { messages, templates, views: createViews({ brand, issuer, files, messages, templates }) }
}

/** Builds the public application, and what it shares with the start and the jobs. */
function buildParts(config: Config, installation: Installation, { views, log }: { views: Views; log: Log }) {
  const { issuer, lifetimes } = config
  const { clock, heartbeat, metrics, stores, vault } = installation
  const { rememberedBrowsers, revocations, uptimes } = stores
  const { instance } = heartbeat
  const { refreshReplaySeconds, rememberMeSeconds } = lifetimes
  const { now } = clock
  const clockWatch = createClockWatch({ clock, metrics, log })
  clockWatch.report()
  const proxyNotices = createProxyNotices({ log, now })
  const deviceCookies = createDeviceCookies({ issuer, vault, now })
  const rememberMe = createRememberMe({ rememberedBrowsers, revocations, vault, rememberMeSeconds })
  const transport = createMailTransport(config.mail)
  const undelivered = createUndeliveredAnswers()
  const heartbeatJob = createHeartbeatJob({ uptimes, undelivered, heartbeat })
  const refreshReplay = createRefreshReplay({ stores, undelivered, vault, refreshReplaySeconds, instance })
  const engines = buildEngines(config, installation, { deviceCookies, refreshReplay, views, log })
  const app = buildPublicApp(config, installation, {
    engines,
    clockWatch,
    proxyNotices,
    deviceCookies,
    rememberMe,
    canMail: transport !== undefined,
    refreshReplay,
    views,
    log,
  })
  return { app, clockWatch, engines, heartbeatJob, proxyNotices, rememberMe, transport }
}

function bindBoth(
  { issuer, listen, management }: Config,
  { clock, metrics }: Installation,
  { app, health, log }: { app: Koa; health: Koa; log: Log },
): Promise<Listeners> {
  const onOverload = createOverloadNotices({ log, metrics, now: clock.now })
  return bindListeners(
    {
      management: { answer: health.callback(), host: management.host, port: management.port },
      main: { answer: app.callback(), host: listen.host, port: listen.port },
    },
    { headers: securityHeaders(issuer), onOverload },
  )
}

function logListening({ issuer }: Config, { main, management }: Listeners, log: Log): void {
  const address = boundAddress(main)
  log.info({ event: 'listening', issuer, address, management: boundAddress(management) })
}

/** Logs where mail goes, or that no mail is sent, and which pages are therefore off. */
function logMail({ mail, offers, isLocal }: Config, log: Log): void {
  const { registration, passwordReset: reset, emailChange: email } = offers
  const line = { event: 'mail', by: mail.by, registration, reset, email }
  if (mail.by === 'nothing' && !isLocal)
    log.warn({ ...line, reason: 'SMTP_URL is not set, so what needs mail is off' })
  else log.info(line)
}
