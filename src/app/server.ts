import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { createMailLinks } from '../accounts/mail-links.ts'
import { createRememberMe } from '../accounts/remember-me.ts'
import { createSignIn } from '../accounts/sign-in.ts'
import type { Admin } from '../admin/admin.ts'
import type { Config } from '../config/config.ts'
import { createServableCheck } from '../db/schema-compatibility.ts'
import { createApp } from '../http/app.ts'
import { createHealthApp } from '../http/health.ts'
import { type Answer, createListener, type Listener, refuse } from '../http/listener/listener.ts'
import { createOverloadNotices } from '../http/listener/overload-notices.ts'
import { createDeviceCookies } from '../http/login/device-cookie.ts'
import { createRememberCookies } from '../http/login/remember-me.ts'
import { parseUserAgent } from '../http/pages/user-agent.ts'
import { createViews } from '../http/pages/views.ts'
import { securityHeaders } from '../http/transport/headers.ts'
import { createProxyNotices } from '../http/transport/proxy-notices.ts'
import { createClockWatch } from '../jobs/clock-watch.ts'
import { createHeartbeatJob } from '../jobs/heartbeat.ts'
import { maintenanceJobs } from '../jobs/maintenance.ts'
import { startJobs } from '../jobs/scheduler.ts'
import type { Log } from '../log.ts'
import { createMailRenderer } from '../mail/render.ts'
import { createMailTransport } from '../mail/transport.ts'
import { createClientKeyFetch } from '../oidc/client/client-keys.ts'
import { createRequestContexts } from '../oidc/engine/request-context.ts'
import { createEngines } from '../oidc/engines.ts'
import { createLogoutTokens } from '../oidc/logout-token.ts'
import { createEngine } from '../oidc/provider.ts'
import { createBrowserSessions } from '../oidc/session/browser-session.ts'
import { createRefreshReplay } from '../oidc/token/refresh-replay.ts'
import { createTokenEndpoint } from '../oidc/token/token-endpoint.ts'
import { createUndeliveredAnswers } from '../oidc/token/undelivered-answers.ts'
import { createBackchannelLogout } from '../outbox/backchannel-logout-delivery.ts'
import { createDeliveries } from '../outbox/delivery.ts'
import { createMailDelivery } from '../outbox/mail-delivery.ts'
import { createMailRateLimit } from '../rate-limiting/mail-rate-limit.ts'
import type { Clock } from '../time.ts'
import { openInteractionFiles } from '../ui/files.ts'
import { loadMessages } from '../ui/messages.ts'
import { compileTemplates } from '../ui/templates.ts'
import { openInstallation } from './installation.ts'

const START_ATTEMPTS = 30
/**
 * The kernel's queue of new connections. Node's default is 511, beyond which a client retries after 1, 3, 7 and 15 s.
 */
const CONNECTION_BACKLOG = 2_000

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

type Needs = {
  log: Log
  /** This machine's clock; the database's clock decides. */
  now?: Clock | undefined
}

/** Done after the ports are bound and before anything is answered. */
type Prepare = (admin: Admin) => Promise<void>

/**
 * Starts the server: opens the installation, listens on both ports, and returns how to stop it.
 *
 * @param signal aborts the start; once the promise resolves, only `stop` ends the server.
 */
export async function startServer(
  config: Config,
  { log, now: wallClock, prepare, signal }: Needs & { prepare?: Prepare; signal?: AbortSignal },
): Promise<RunningServer> {
  // First of all: what is wrong with an operator's files is told before anything is touched.
  const files = openInteractionFiles(config.templatesDir)
  const messages = loadMessages(files, { log })
  const templates = compileTemplates(files, messages)
  const views = createViews({ ...config, files, messages, templates })
  let isPrepared = false
  let stopped: Promise<void> | undefined
  // Orchestrators start everything at once: the database may need a moment longer than we do.
  const installation = await openInstallation(config, {
    log,
    now: wallClock,
    attempts: START_ATTEMPTS,
    signal,
  })
  const {
    database,
    clock,
    vault,
    stores,
    hasher,
    passwordRules,
    metrics,
    rateLimiter,
    signInRateLimit,
    outbound,
    admin,
  } = installation
  const { now } = clock
  const clockWatch = createClockWatch({ clock, metrics, log })
  clockWatch.tell()
  const sessionLimits = { ...config, ...config.lifetimes }
  const deviceCookies = createDeviceCookies({ issuer: config.issuer, vault, now })
  const undelivered = createUndeliveredAnswers()
  const heartbeatJob = createHeartbeatJob({ ...stores, undelivered, heartbeat: installation.heartbeat })
  const { refreshAnswers, uptimes, tokens, events, commitTokens } = stores
  const refreshReplay = createRefreshReplay({
    refreshAnswers,
    uptimes,
    undelivered,
    vault,
    refreshReplaySeconds: config.lifetimes.refreshReplaySeconds,
    instance: installation.heartbeat.instance,
  })
  const clientKeyFetch = createClientKeyFetch({ outbound, now })
  const engines = createEngines({ ...installation, log }, (jwks) =>
    createEngine({
      ...config,
      ...stores,
      ...views,
      sessionLimits,
      jwks,
      vault,
      clientKeyFetch,
      refreshReplay,
      rateLimiter,
      findDevices: deviceCookies.find,
      parseUserAgent,
      log,
      now,
    }),
  )
  const transport = createMailTransport(config.mail)
  const rememberMe = createRememberMe({ ...stores, ...config.lifetimes, vault })
  const proxyNotices = createProxyNotices({ log, now })
  const app = createApp({
    ...config,
    proxyNotices,
    engine: engines.current,
    signIn: createSignIn({ ...stores, hasher, limits: signInRateLimit, log }),
    ...stores,
    hasher,
    passwordRules,
    rateLimiter,
    signInRateLimit,
    canMail: transport !== undefined,
    links: createMailLinks({ ...stores, vault }),
    mailRateLimit: createMailRateLimit({ rateLimiter }),
    rememberMe,
    deviceCookies,
    browserSessions: createBrowserSessions({
      ...config,
      ...stores,
      limits: sessionLimits,
      engine: engines.current,
      now,
    }),
    settleClock: clockWatch.settle,
    requestContexts: createRequestContexts({
      rememberedIdOf: createRememberCookies(config.issuer).idOf,
      now,
    }),
    tokenEndpoint: createTokenEndpoint({ commitTokens, tokens, events, refreshReplay }),
    vault,
    views,
    log,
    now,
  })
  // A newer version may migrate the schema while this one runs.
  const isServable = createServableCheck(database)
  const health = createHealthApp({
    metrics,
    async readiness() {
      await clockWatch.settle()
      // Undefined: the database does not answer.
      const isServed = await isServable().catch(() => undefined)
      const checks = {
        database: isServed !== undefined,
        migrations: isServed !== false,
        keys: installation.jwks.keys.length > 0,
        accepting: stopped === undefined,
        clock: clockWatch.isNear(),
      }
      return {
        ready: Object.values(checks).every(Boolean),
        checks,
        warnings: [...proxyNotices.list(), ...clockWatch.warnings()],
        details: { clock_ahead_seconds: clock.distanceSeconds() },
      }
    },
  })

  const headers = securityHeaders(config.issuer)
  const onOverload = createOverloadNotices({ log, metrics, now })
  const listeners: Listener[] = []
  try {
    for (const [callback, where] of [
      [health.callback(), config.management],
      [app.callback(), config.listen],
    ] as const) {
      const answer: Answer = (request, response) =>
        isPrepared ? callback(request, response) : refuse(response, 503, headers, { 'Retry-After': '1' })
      listeners.push(await listen(createListener(answer, { headers, onOverload }), where))
    }
    // The last check: prepared credentials are shown once, by the caller.
    signal?.throwIfAborted()
    // After both ports are ours: what is made and shown once must not be lost to a port that is taken.
    await prepare?.(admin)
    await rememberMe.enforce()
    await heartbeatJob.begin()
    // Now, since it holds up everything for a moment.
    await passwordRules.load()
    isPrepared = true
  } catch (error) {
    await Promise.all(listeners.map((listener) => listener.close()))
    await installation.close()
    throw error
  }
  const logouts = createBackchannelLogout({
    ...stores,
    outbound,
    logoutToken: createLogoutTokens({ ...config, jwks: engines.jwks, now }),
    metrics,
    log,
  })
  const renderMail = createMailRenderer({ ...config, messages, templates })
  const mail =
    transport && createMailDelivery({ ...stores, vault, transport, render: renderMail, metrics, log })
  const deliveries = [
    createDeliveries(logouts, { ...installation, log }),
    ...(mail ? [createDeliveries(mail, { ...installation, log })] : []),
  ]
  // Where mail goes, or that there is none and what is therefore off.
  const { registration, passwordReset: reset, emailChange: email } = config.offers
  const offers = { by: config.mail.by, registration, reset, email }
  if (config.mail.by === 'nothing' && !config.isLocal)
    log.warn({
      event: 'mail',
      ...offers,
      reason: 'SMTP_URL is not set, so what needs mail is off',
    })
  else log.info({ event: 'mail', ...offers })
  const jobs = startJobs(
    [
      clockWatch.job,
      heartbeatJob.job,
      ...maintenanceJobs({ cleanup: installation.cleanup, metrics, log }),
      ...deliveries.flatMap((delivery) => delivery.jobs),
    ],
    { log },
  )
  const [management, main] = listeners as [Listener, Listener]
  log.info({
    event: 'listening',
    issuer: config.issuer,
    address: boundAddress(main.server),
    management: boundAddress(management.server),
  })

  async function stop({ pauseMilliseconds = 0, patienceMilliseconds = 0 }: Stopping): Promise<void> {
    log.info({ event: 'stopping' })
    main.closeAfterAnswers()
    await pause(pauseMilliseconds)
    await main.close({ patienceMilliseconds })
    await management.close()
    await jobs.stop()
    await heartbeatJob.leave()
    for (const delivery of deliveries) await delivery.stop()
    await installation.close()
    log.info({ event: 'stopped' })
  }

  return {
    url: urlOf(main.server),
    managementUrl: urlOf(management.server),
    admin,
    stop(options = {}) {
      stopped ??= stop(options)
      return stopped
    },
  }
}

function listen(listener: Listener, { host, port }: Config['listen']): Promise<Listener> {
  const { server } = listener
  return new Promise((done, fail) => {
    server.once('error', fail)
    server.listen({ port, host, backlog: CONNECTION_BACKLOG }, () => {
      server.off('error', fail)
      done(listener)
    })
  })
}

/** The bound address; `[::]` and `0.0.0.0` mean every address of the machine. */
function boundAddress(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo
  return `${family === 'IPv6' ? `[${address}]` : address}:${port}`
}

/** The URL of the listener for programs on this machine. */
function urlOf(server: Server): string {
  return `http://${boundAddress(server).replace(/^(\[::\]|0\.0\.0\.0):/, 'localhost:')}`
}
