import type Koa from 'koa'
import type { Middleware } from 'koa'
import { createAccountAccess } from '../accounts/access.ts'
import { createEmailChange } from '../accounts/email-change.ts'
import { createMailLinks } from '../accounts/mail-links.ts'
import { createPasswordQueue } from '../accounts/password.ts'
import { createPasswordReset } from '../accounts/password-reset.ts'
import { createRegistration } from '../accounts/registration.ts'
import type { RememberMe } from '../accounts/remember-me.ts'
import { createSignIn } from '../accounts/sign-in.ts'
import type { Config } from '../config/config.ts'
import { createAccountPages } from '../http/account/account.ts'
import { createApp } from '../http/app.ts'
import type { DeviceCookies } from '../http/login/device-cookie.ts'
import { createInteractionRoutes } from '../http/login/interaction.ts'
import { createLoginCheck } from '../http/login/login-form.ts'
import { createRememberCookies } from '../http/login/remember-me.ts'
import { createSessionNotices } from '../http/login/session-notice.ts'
import type { Views } from '../http/pages/views.ts'
import type { ProxyNotices } from '../http/transport/proxy-notices.ts'
import type { ClockWatch } from '../jobs/clock-watch.ts'
import type { Log } from '../log.ts'
import { createRequestContexts } from '../oidc/engine/request-context.ts'
import { createBrowserSessions } from '../oidc/session/browser-session.ts'
import type { RefreshReplay } from '../oidc/token/refresh-replay.ts'
import { createTokenEndpoint } from '../oidc/token/token-endpoint.ts'
import { createMailRateLimit } from '../rate-limiting/mail-rate-limit.ts'
import { type Engines, sessionLimitsOf } from './engine.ts'
import type { Installation } from './installation.ts'

type Needs = {
  engines: Engines
  clockWatch: ClockWatch
  proxyNotices: ProxyNotices
  deviceCookies: DeviceCookies
  rememberMe: RememberMe
  /** Whether mail can be sent. */
  canMail: boolean
  refreshReplay: RefreshReplay
  views: Views
  log: Log
}

/** Builds the application of the public listener: the engine, and the pages for sign-in and for accounts. */
export function buildPublicApp(config: Config, installation: Installation, needs: Needs): Koa {
  const { issuer, trustedProxies } = config
  const { clock, rateLimiter, stores, vault } = installation
  const { clockWatch, engines, log, proxyNotices, refreshReplay, rememberMe, views } = needs
  const { commitTokens, events, tokens } = stores
  const { now } = clock
  const signIn = buildSignIn(config, installation, needs)
  const { browserSessions, sessionNotices } = signIn
  const { idOf: rememberedIdOf } = createRememberCookies(issuer)

  return createApp({
    issuer,
    proxies: { trusted: trustedProxies, notices: proxyNotices },
    clock: { now, settle: clockWatch.settle },
    limits: { rateLimiter, events },
    token: {
      requestContexts: createRequestContexts({ rememberedIdOf, now }),
      endpoint: createTokenEndpoint({ commitTokens, tokens, events, refreshReplay }),
    },
    pages: {
      account: buildAccountPages(config, installation, needs, signIn),
      interactions: signIn.interactions,
      rememberMe,
      browserSessions,
      sessionNotices,
    },
    views,
    engine: engines.current,
    vault,
    log,
  })
}

type SignInParts = ReturnType<typeof buildSignIn>

function buildSignIn(config: Config, installation: Installation, needs: Needs) {
  const { issuer, offers } = config
  const { clock, passwords, signInRateLimit, stores, vault } = installation
  const { deviceCookies, engines, log, rememberMe, views } = needs
  const { accounts, consents, events, sessions } = stores
  const engine = engines.current
  const { now } = clock
  const limits = sessionLimitsOf(config)
  const { sessionAbsoluteSeconds } = limits
  const browserSessions = createBrowserSessions({ engine, issuer, sessions, limits, now })
  const sessionNotices = createSessionNotices({ issuer, sessionAbsoluteSeconds })
  const queue = createPasswordQueue()
  const signIn = createSignIn({ accounts, queue, hasher: passwords.hasher, rateLimit: signInRateLimit, log })
  const checkLogin = createLoginCheck({ signIn, browserSessions, deviceCookies, events, log, now })
  const interactions = createInteractionRoutes({
    issuer,
    engine,
    offers,
    checkLogin,
    rememberMe,
    sessionNotices,
    accounts,
    consents,
    vault,
    render: views.render,
  })
  return { browserSessions, checkLogin, interactions, queue, sessionNotices }
}

function buildAccountPages(
  { issuer, offers }: Config,
  { passwords, rateLimiter, signInRateLimit, stores, vault }: Installation,
  { canMail, deviceCookies, rememberMe, views }: Needs,
  { browserSessions, checkLogin, queue, sessionNotices }: SignInParts,
): Middleware {
  const { accounts, connections, events, mailLinks, rememberedBrowsers, revocations, selfService, sessions } =
    stores
  const links = createMailLinks({ mailLinks, vault })
  return createAccountPages({
    issuer,
    stores: { accounts, events },
    access: createAccountAccess({ sessions, rememberedBrowsers, connections, revocations }),
    signIn: { check: checkLogin, notices: sessionNotices, rememberMe },
    browsers: { sessions: browserSessions, devices: deviceCookies },
    passwords: {
      queue,
      hasher: passwords.hasher,
      rules: passwords.rules,
      changeNotice: (account, language) => (canMail ? links.passwordChangedNotices(account, language) : []),
    },
    selfService: {
      offers,
      links,
      registration: createRegistration({ accounts, selfService, links }),
      passwordReset: createPasswordReset({ accounts, selfService, links, limits: signInRateLimit }),
      emailChange: createEmailChange({ accounts, selfService, links }),
    },
    limits: { rateLimiter, mail: createMailRateLimit({ rateLimiter }) },
    vault,
    views,
  })
}
