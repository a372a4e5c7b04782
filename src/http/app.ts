/**
 * Room http/: the path of a request, in order (this file). listener/ parses connections, transport/ checks and limits
 * requests, pages/ renders, login/ holds sign-in and consent, account/ the account pages.
 */

import Router from '@koa/router'
import Koa, { type Middleware } from 'koa'
import compose from 'koa-compose'
import type { Provider } from 'oidc-provider'
import type { EventStore } from '../audit/event-store.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Log } from '../log.ts'
import { correctAnswers } from '../oidc/compat/corrections.ts'
import { translateRequests } from '../oidc/compat/translations.ts'
import { isForPeople, isOwnForm, isResumption } from '../oidc/engine/endpoints.ts'
import { cookieKeys } from '../oidc/session/cookies.ts'
import type { RateLimiter } from '../rate-limiting/rate-limiter.ts'
import type { Clock } from '../time.ts'
import { answerErrors } from './errors.ts'
import { signInRememberedBrowsers } from './login/remember-me.ts'
import { restartRequests } from './login/restart.ts'
import type { SignInParts } from './login/sign-in-parts.ts'
import type { Views } from './pages/views.ts'
import { refuseCrossSite, refuseForeignNavigation } from './transport/csrf.ts'
import { allowFormTargets, setSecurityHeaders } from './transport/headers.ts'
import { refuseHostileRequests } from './transport/input-limits.ts'
import { pinOrigin } from './transport/origin.ts'
import type { ProxyNotices } from './transport/proxy-notices.ts'
import { logRequests } from './transport/request-log.ts'
import { limitRequestRate } from './transport/request-rate-limit.ts'
import { correctCookies } from './transport/response-cookies.ts'

type Needs = {
  issuer: string
  proxies: { trusted: readonly string[]; notices: ProxyNotices }
  /** `settle` measures the database's clock again after this machine's clock was set. */
  clock: { now: Clock; settle: () => Promise<void> }
  limits: { rateLimiter: RateLimiter; events: EventStore }
  token: {
    requestContexts: Middleware
    /** Commits what the engine answers at the token endpoint. */
    endpoint: Middleware
  }
  pages: {
    account: Middleware
    interactions: Router
    signIn: Pick<SignInParts, 'browserSessions' | 'rememberCookies' | 'rememberMe' | 'sessionNotices'>
  }
  views: Views
  /** The engine of this moment: it is replaced when the signing keys change. */
  engine: () => Provider
  vault: Vault
  log: Log
}

/** Answers the public listener. Each line is one middleware; their order has a meaning. */
export function createApp(needs: Needs): Koa {
  const { issuer, proxies, clock, limits, pages, views, engine, vault, log } = needs
  const { browserSessions, rememberCookies: cookies, rememberMe, sessionNotices } = pages.signIn
  const app = new Koa({ proxy: true, keys: cookieKeys(vault) })
  // Expected errors are answered below; the rest are broken connections and faults of the server.
  app.on('error', (error) => log.warn({ event: 'response.failed', error }))

  app.use(setSecurityHeaders({ issuer }))
  app.use(pinOrigin({ issuer, trustedProxies: proxies.trusted, proxyNotices: proxies.notices }))
  app.use(settleClock(clock)) //                               before the log records the arrival
  app.use(logRequests({ log, now: clock.now }))
  app.use(answerErrors({ renderError: views.renderError, log }))
  app.use(refuseHostileRequests)
  app.use(onlyFor(isOwnForm, refuseCrossSite({ issuer })))
  app.use(onlyFor(isResumption, refuseForeignNavigation))
  app.use(views.serveAssets)
  app.use(limitRequestRate({ rateLimiter: limits.rateLimiter, events: limits.events }))
  app.use(needs.token.requestContexts)
  app.use(needs.token.endpoint)
  app.use(correctCookies({ issuer }))
  app.use(
    onlyFor(
      isForPeople,
      compose([
        signInRememberedBrowsers({ rememberMe, cookies, browserSessions, log }),
        createHomeRoutes({ issuer, views }), //                /
        pages.account, //                                      /account and below
        restartRequests({ issuer, vault }),
        routesOf(pages.interactions), //                       /interaction/:uid
        sessionNotices.follow,
      ]),
    ),
  )
  app.use(translateRequests({ issuer }))
  app.use(correctAnswers(allowFormTargets))
  app.use(mount(engine)) //                                    everything else
  return app
}

function settleClock({ settle }: Needs['clock']): Middleware {
  return async (_ctx, next) => {
    await settle()
    await next()
  }
}

function createHomeRoutes({ issuer, views }: Pick<Needs, 'issuer' | 'views'>): Middleware {
  const router = new Router()
  router.get('/', (ctx) =>
    views.render(ctx, 'home', { discoveryUrl: `${issuer}/.well-known/openid-configuration` }),
  )
  return routesOf(router)
}

const routesOf = (router: Router): Middleware => router.routes() as Middleware

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
