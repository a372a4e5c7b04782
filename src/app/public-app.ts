import type Koa from 'koa'
import type { Middleware } from 'koa'
import { createAccountAccess } from '../accounts/access.ts'
import { createEmailChange } from '../accounts/email-change.ts'
import { createMailLinks } from '../accounts/mail-links.ts'
import { createPasswordQueue, type PasswordQueue } from '../accounts/password.ts'
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
import type { SignInParts } from '../http/login/sign-in-parts.ts'
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
  canMail: boolean
  refreshReplay: RefreshReplay
  views: Views
  log: Log
}

/** Builds the application of the public listener: the engine, and the pages for sign-in and for accounts. */
export function buildPublicApp(config: Config, installation: Installation, needs: Needs): Koa {
  const { issuer, offers, trustedProxies } = config
  const { clock, rateLimiter, stores, vault } = installation
  const { clockWatch, engines, log, proxyNotices, refreshReplay, views } = needs
  const { commitTokens, events, tokens } = stores
  const engine = engines.current
  const { now } = clock
  const queue = createPasswordQueue()
  const signIn = buildSignIn(config, installation, needs, queue)

  return createApp({
    issuer,
    proxies: { trusted: trustedProxies, notices: proxyNotices },
    clock: { now, settle: clockWatch.settle },
    limits: { rateLimiter, events },
    token: {
      requestContexts: createRequestContexts({ rememberedIdOf: signIn.rememberCookies.idOf, now }),
      endpoint: createTokenEndpoint({ commitTokens, tokens, events, refreshReplay }),
    },
    pages: {
      account: buildAccountPages(config, installation, needs, { signIn, queue }),
      interactions: createInteractionRoutes({ engine, offers, signIn, stores, vault, render: views.render }),
      signIn,
    },
    views,
    engine,
    vault,
    log,
  })
}

function buildSignIn(
  config: Config,
  { clock, passwords, signInRateLimit, stores }: Installation,
  { deviceCookies, engines, log, rememberMe }: Needs,
  queue: PasswordQueue,
): SignInParts {
  const { issuer } = config
  const { accounts, events, sessions } = stores
  const { now } = clock
  const limits = sessionLimitsOf(config)
  const { sessionAbsoluteSeconds } = limits
  const browserSessions = createBrowserSessions({ engine: engines.current, issuer, sessions, limits, now })
  const signIn = createSignIn({ accounts, queue, hasher: passwords.hasher, rateLimit: signInRateLimit, log })
  return {
    checkLogin: createLoginCheck({ signIn, browserSessions, deviceCookies, events, log, now }),
    browserSessions,
    rememberMe,
    rememberCookies: createRememberCookies(issuer),
    deviceCookies,
    sessionNotices: createSessionNotices({ issuer, sessionAbsoluteSeconds }),
  }
}

function buildAccountPages(
  { issuer, offers }: Config,
  { passwords, rateLimiter, signInRateLimit, stores, vault }: Installation,
  { canMail, views }: Needs,
  { signIn, queue }: { signIn: SignInParts; queue: PasswordQueue },
): Middleware {
  const { hasher, rules } = passwords
  const { accounts, mailLinks, selfService } = stores
  const links = createMailLinks({ mailLinks, vault })
  return createAccountPages({
    issuer,
    stores,
    access: createAccountAccess(stores),
    signIn,
    passwords: {
      queue,
      hasher,
      rules,
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
