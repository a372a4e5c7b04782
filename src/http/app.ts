import Router from '@koa/router'
import Koa, { type Middleware } from 'koa'
import compose from 'koa-compose'
import type { Provider } from 'oidc-provider'
import type { MailLinks } from '../accounts/mail-links.ts'
import type { PasswordHasher } from '../accounts/password.ts'
import type { PasswordRules } from '../accounts/password-rules.ts'
import type { RememberMe } from '../accounts/remember-me.ts'
import type { VerifySignIn } from '../accounts/sign-in.ts'
import type { EventStore } from '../audit/event.ts'
import type { Lifetimes, Offers } from '../config/config.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Log } from '../log.ts'
import { correctAnswers } from '../oidc/compat/corrections.ts'
import { translateRequests } from '../oidc/compat/translations.ts'
import { DEVICE_POLL_INTERVAL_SECONDS } from '../oidc/device/polling.ts'
import { isForPeople, isOwnForm, isResumption } from '../oidc/engine/endpoints.ts'
import type { BrowserSessions } from '../oidc/session/browser-session.ts'
import { cookieKeys } from '../oidc/session/cookies.ts'
import type { MailRateLimit } from '../rate-limiting/mail-rate-limit.ts'
import type { RateLimiter } from '../rate-limiting/rate-limiter.ts'
import type { SignInRateLimit } from '../rate-limiting/sign-in-rate-limit.ts'
import type { Account, AccountStore } from '../store/account/account.ts'
import type { SelfServiceStore } from '../store/account/self-service.ts'
import type { Ending } from '../store/revocation/revocation.ts'
import type { ConnectionStore } from '../store/session/connection.ts'
import type { ConsentStore } from '../store/session/consent.ts'
import type { RememberedBrowserStore } from '../store/session/remembered-browser.ts'
import type { SessionStore } from '../store/session/session.ts'
import type { Clock } from '../time.ts'
import { createAccountRoutes } from './account/account.ts'
import { createAccountOverview } from './account/account-overview.ts'
import { createAccountSignInRoutes } from './account/account-sign-in.ts'
import { createNewPasswordForm } from './account/new-password.ts'
import { createPasswordAdvice } from './account/password-advice.ts'
import { createPasswordChangeRoutes } from './account/password-change.ts'
import { createSelfServiceRoutes } from './account/self-service.ts'
import { createVisitors } from './account/signed-in-user.ts'
import { answerErrors } from './errors.ts'
import type { DeviceCookies } from './login/device-cookie.ts'
import { createInteractionRoutes } from './login/interaction.ts'
import { createLoginForm } from './login/login-form.ts'
import { recogniseBrowsers } from './login/remember-me.ts'
import { restartRequests } from './login/restart.ts'
import { keepNewerSessions } from './login/session-cookie.ts'
import { createSessionNotices } from './login/session-notice.ts'
import type { Views } from './pages/views.ts'
import { correctCookieExpiry } from './transport/cookie-expiry.ts'
import { refuseCrossSite, refuseForeignNavigation, refuseHostileRequests } from './transport/guards.ts'
import { allowFormTargets, setSecurityHeaders } from './transport/headers.ts'
import { pinOrigin } from './transport/origin.ts'
import { startOnePageAtATime } from './transport/pace.ts'
import type { ProxyNotices } from './transport/proxy-notices.ts'
import { logRequests } from './transport/request-log.ts'
import { limitRequestRate } from './transport/request-rate-limit.ts'

type Needs = {
  issuer: string
  trustedProxies: readonly string[]
  proxyNotices: ProxyNotices
  /** The engine of this moment: another one takes its place when keys rotate. */
  engine: () => Provider
  signIn: VerifySignIn
  accounts: AccountStore
  consents: ConsentStore
  events: EventStore
  sessions: SessionStore
  rememberedBrowsers: RememberedBrowserStore
  connections: ConnectionStore
  end: (ending: Ending) => Promise<void>
  hasher: PasswordHasher
  passwordRules: PasswordRules
  rateLimiter: RateLimiter
  signInRateLimit: SignInRateLimit
  offers: Offers
  /** Whether people can be told anything by mail. */
  canMail: boolean
  links: MailLinks
  mailRateLimit: MailRateLimit
  selfService: SelfServiceStore
  lifetimes: Lifetimes
  rememberMe: RememberMe
  browserSessions: BrowserSessions
  deviceCookies: DeviceCookies
  /** Measures the database's clock again after this machine's clock was set. */
  settleClock: () => Promise<void>
  /** Creates the context of each request. */
  requestContexts: Middleware
  /** Commits what the engine answers at the token endpoint. */
  tokenEndpoint: Middleware
  vault: Vault
  views: Views
  log: Log
  now: Clock
}

/** What the public listener answers. The order is the meaning. */
export function createApp(needs: Needs): Koa {
  const { issuer, vault, views, log, engine } = needs
  const checkLogin = createLoginForm(needs)
  const sessionNotices = createSessionNotices({ issuer, ...needs.lifetimes })
  const rendering = { ...needs, checkLogin, sessionNotices, render: views.render }
  const pages = {
    ...rendering,
    visitors: createVisitors(rendering),
    admitNewPassword: createNewPasswordForm(needs),
    advisePassword: createPasswordAdvice(needs),
    tellPasswordChanged: (ctx: Koa.Context, account: Account) =>
      needs.canMail ? needs.links.tellPasswordChanged(account, views.words(ctx).lang) : [],
  }
  const app = new Koa({ proxy: true, keys: cookieKeys(vault) })
  // Everything expected is answered below; what still gets here is a broken connection or a fault of ours.
  app.on('error', (error) => log.warn({ event: 'response.failed', error }))

  app.use(setSecurityHeaders(needs))
  app.use(pinOrigin(needs))
  app.use(async (_ctx, next) => {
    // Before `arrivedAt` is set.
    await needs.settleClock()
    await next()
  })
  app.use(logRequests(needs))
  app.use(answerErrors({ renderError: views.renderError, log }))
  app.use(refuseHostileRequests)
  app.use(onlyFor(isOwnForm, refuseCrossSite({ issuer })))
  app.use(onlyFor(isResumption, refuseForeignNavigation))
  app.use(views.serveAssets)
  app.use(onlyFor(isForPeople, startOnePageAtATime()))
  app.use(limitRequestRate(needs))
  app.use(needs.requestContexts)
  app.use(needs.tokenEndpoint)
  app.use(correctCookieExpiry)
  app.use(keepNewerSessions(needs))
  app.use(
    onlyFor(
      isForPeople,
      compose([
        recogniseBrowsers(needs),
        createHomeRoutes(needs).routes(), //                /
        createAccountRoutes({ ...pages, overview: createAccountOverview(needs) }).routes(), // /account
        createAccountSignInRoutes(pages).routes(), //       /account/sign-in
        createPasswordChangeRoutes(pages).routes(), //      /account/password
        createSelfServiceRoutes(pages), //                  /account/register, reset, email, link
        restartRequests(needs),
        createInteractionRoutes(pages).routes(), //         /interaction/:uid
        sessionNotices.watch,
      ] as Middleware[]),
    ),
  )
  app.use(translateRequests(needs))
  app.use(correctAnswers({ pollIntervalSeconds: DEVICE_POLL_INTERVAL_SECONDS, allowFormTargets }))
  app.use(mount(engine)) //                                everything else
  return app
}

function createHomeRoutes({ issuer, views }: Pick<Needs, 'issuer' | 'views'>): Router {
  const router = new Router()
  router.get('/', (ctx) =>
    views.render(ctx, 'home', { discoveryUrl: `${issuer}/.well-known/openid-configuration` }),
  )
  return router
}

function onlyFor(applies: (ctx: Koa.Context) => boolean, middleware: Middleware): Middleware {
  return (ctx, next) => (applies(ctx) ? middleware(ctx, next) : next())
}

function mount(engine: () => Provider): Middleware {
  let mounted: { engine: Provider; handle: Middleware } | undefined
  return (ctx, next) => {
    const current = engine()
    if (mounted?.engine !== current)
      mounted = { engine: current, handle: compose(current.middleware as Middleware[]) }
    return mounted.handle(ctx, next)
  }
}
