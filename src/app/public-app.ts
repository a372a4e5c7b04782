import type Koa from 'koa'
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
  /** Whether people can be told anything by mail. */
  canMail: boolean
  refreshReplay: RefreshReplay
  views: Views
  log: Log
}

/** What the public listener answers: the engine, and the pages for sign-in and for accounts. */
export function buildPublicApp(config: Config, installation: Installation, needs: Needs): Koa {
  const { issuer, lifetimes, offers } = config
  const { clock, passwords, signInRateLimit, stores, rateLimiter, vault } = installation
  const { clockWatch, deviceCookies, engines, log, proxyNotices, refreshReplay, rememberMe, views } = needs
  const { accounts, consents, events, tokens, commitTokens, selfService } = stores
  const { now } = clock
  const browserSessions = createBrowserSessions({
    engine: engines.current,
    issuer,
    sessions: stores.sessions,
    lifetimes,
    limits: sessionLimitsOf(config),
    now,
  })
  const { hasher } = passwords
  const passwordQueue = createPasswordQueue()
  const signIn = createSignIn({ accounts, queue: passwordQueue, hasher, rateLimit: signInRateLimit, log })
  const checkLogin = createLoginCheck({ signIn, browserSessions, deviceCookies, events, log, now })
  const { sessionAbsoluteSeconds } = lifetimes
  const sessionNotices = createSessionNotices({ issuer, sessionAbsoluteSeconds })
  const links = createMailLinks({ mailLinks: stores.mailLinks, vault })
  const { sessions, rememberedBrowsers, connections, revocations } = stores
  const { render } = views

  return createApp({
    issuer,
    proxies: { trusted: config.trustedProxies, notices: proxyNotices },
    clock: { now, settle: clockWatch.settle },
    limits: { rateLimiter, events },
    token: {
      requestContexts: createRequestContexts({
        rememberedIdOf: createRememberCookies(issuer).idOf,
        now,
      }),
      endpoint: createTokenEndpoint({ commitTokens, tokens, events, refreshReplay }),
    },
    pages: {
      account: createAccountPages({
        issuer,
        stores: { accounts, events },
        access: createAccountAccess({ sessions, rememberedBrowsers, connections, revocations }),
        signIn: { check: checkLogin, notices: sessionNotices, rememberMe },
        browsers: { sessions: browserSessions, devices: deviceCookies },
        passwords: {
          queue: passwordQueue,
          hasher,
          rules: passwords.rules,
          changeNotice: (account, language) =>
            needs.canMail ? links.passwordChangedNotices(account, language) : [],
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
      }),
      interactions: createInteractionRoutes({
        issuer,
        engine: engines.current,
        offers,
        checkLogin,
        rememberMe,
        sessionNotices,
        accounts,
        consents,
        vault,
        render,
      }),
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
