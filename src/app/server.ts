/*
 * app/ is the composition root: it alone knows every part. server.ts shows the order of a start and a stop;
 * installation.ts opens what the server shares with the command line; engine.ts, public-app.ts and health.ts build
 * what answers; listeners.ts binds the ports; background-work.ts starts the jobs.
 */

import { setTimeout as pause } from 'node:timers/promises'
import { createRememberMe } from '../accounts/remember-me.ts'
import type { Admin } from '../admin/admin.ts'
import type { Config } from '../config/config.ts'
import { createOverloadNotices } from '../http/listener/load-limit.ts'
import { createDeviceCookies } from '../http/login/device-cookie.ts'
import { createViews } from '../http/pages/views.ts'
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
import { openInstallation } from './installation.ts'
import { bindListeners, boundAddress, urlOf } from './listeners.ts'
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
  patienceMilliseconds?: number
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

/** Starts the server: opens the installation, listens on both ports, and returns how to stop it. */
export async function startServer(
  config: Config,
  { log, now: wallClock, prepare, signal }: Options,
): Promise<RunningServer> {
  const { issuer, brand, lifetimes } = config
  // Faults in an operator's files are reported before anything is opened.
  const files = openInteractionFiles(config.templatesDir)
  const messages = loadMessages(files, { log })
  const templates = compileTemplates(files, messages)
  const views = createViews({ brand, issuer, files, messages, templates })
  // Orchestrators start everything at once: the database may need longer than this process.
  const waiting = { attempts: START_ATTEMPTS, signal }
  const installation = await openInstallation(config, { log, now: wallClock, ...waiting })

  const { admin, clock, heartbeat, metrics, passwords, stores, vault } = installation
  const { now } = clock
  const clockWatch = createClockWatch({ clock, metrics, log })
  clockWatch.report()
  const proxyNotices = createProxyNotices({ log, now })
  const deviceCookies = createDeviceCookies({ issuer, vault, now })
  const { rememberedBrowsers, revocations } = stores
  const { rememberMeSeconds } = lifetimes
  const rememberMe = createRememberMe({ rememberedBrowsers, revocations, vault, rememberMeSeconds })
  const transport = createMailTransport(config.mail)
  const undelivered = createUndeliveredAnswers()
  const heartbeatJob = createHeartbeatJob({ uptimes: stores.uptimes, undelivered, heartbeat })
  const refreshReplay = createRefreshReplay({
    refreshAnswers: stores.refreshAnswers,
    uptimes: stores.uptimes,
    undelivered,
    vault,
    refreshReplaySeconds: lifetimes.refreshReplaySeconds,
    instance: heartbeat.instance,
  })
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
  let stopped: Promise<void> | undefined
  const isAccepting = () => stopped === undefined
  const health = buildHealthApp(installation, { clockWatch, proxyNotices, isAccepting })

  const onOverload = createOverloadNotices({ log, metrics, now })
  const listeners = await bindListeners(
    {
      management: { answer: health.callback(), host: config.management.host, port: config.management.port },
      main: { answer: app.callback(), host: config.listen.host, port: config.listen.port },
    },
    { headers: securityHeaders(issuer), onOverload },
  ).catch(closeInstallation)
  try {
    // The last look at it: credentials that `prepare` shows must belong to a server that starts.
    signal?.throwIfAborted()
    await prepare?.(admin)
    await rememberMe.enforce()
    await heartbeatJob.begin()
    // Loading blocks the event loop for a moment, so it happens before the first answer.
    await passwords.rules.load()
    listeners.open()
  } catch (error) {
    await listeners.close()
    return await closeInstallation(error)
  }
  logMail(config, log)
  const serverJobs = [clockWatch.job, heartbeatJob.job]
  const background = startBackgroundWork(config, installation, {
    engines,
    transport,
    messages,
    templates,
    serverJobs,
    log,
  })
  log.info({
    event: 'listening',
    issuer,
    address: boundAddress(listeners.main),
    management: boundAddress(listeners.management),
  })

  return {
    url: urlOf(listeners.main),
    managementUrl: urlOf(listeners.management),
    admin,
    stop(options = {}) {
      stopped ??= stop(options)
      return stopped
    },
  }

  async function stop({ pauseMilliseconds = 0, patienceMilliseconds = 0 }: Stopping): Promise<void> {
    log.info({ event: 'stopping' })
    listeners.main.closeAfterAnswers()
    await pause(pauseMilliseconds)
    await listeners.main.close({ patienceMilliseconds })
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

/** Where mail goes, or that there is none, and which pages are off for that reason. */
function logMail({ mail, offers, isLocal }: Config, log: Log): void {
  const { registration, passwordReset: reset, emailChange: email } = offers
  const line = { event: 'mail', by: mail.by, registration, reset, email }
  if (mail.by === 'nothing' && !isLocal)
    log.warn({ ...line, reason: 'SMTP_URL is not set, so what needs mail is off' })
  else log.info(line)
}
