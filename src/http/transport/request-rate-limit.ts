import type { Context, Middleware, Next } from 'koa'
import type { KoaContextWithOIDC } from 'oidc-provider'
import { newEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import { isForPeople, normalPath, ROUTES } from '../../oidc/engine/endpoints.ts'
import { errorCodeIn } from '../../oidc/engine/errors.ts'
import { formOf } from '../../oidc/engine/form.ts'
import { originOf } from '../../oidc/engine/request-context.ts'
import { createKeyedQueue } from '../../rate-limiting/keyed-queue.ts'
import { LIMITS } from '../../rate-limiting/limits.ts'
import { networkOf, widestNetworkOf } from '../../rate-limiting/network.ts'
import {
  byNetworks,
  type RateLimit,
  type RateLimiter,
  type RateLimitKey,
} from '../../rate-limiting/rate-limiter.ts'

const MOST_CLIENT_ID_CHARACTERS = 256
/** Concurrent requests of one network to one endpoint that inserts rows. They bound how far a flood can pass its limit. */
const AT_ONCE = 16
const AT_ONCE_OF_WIDEST_NETWORK = 64
const MOST_WAITING = 1_000

/** A rate limit was reached: answered with 429 and `Retry-After` (RFC 6585 §4). */
export class TooManyRequestsError extends Error {
  override name = 'TooManyRequestsError'
  readonly retryAfterSeconds: number
  constructor({ name }: RateLimit, retryAfterSeconds: number) {
    super(`the limit ${name} was reached`)
    this.retryAfterSeconds = retryAfterSeconds
  }
}

type Oidc = KoaContextWithOIDC['oidc']
type Insertion = {
  limit: RateLimit
  /** Whether the answer shows that a row was inserted. */
  isDone: (ctx: Context, oidc: Oidc | undefined) => boolean
}

const oidcOf = (ctx: Context) => (ctx as Context & { oidc?: Oidc }).oidc

/** Unauthenticated endpoints that insert rows. A network whose limit is reached is refused before the request runs. */
const INSERTIONS: Record<string, Insertion> = {
  [ROUTES.authorization]: {
    limit: LIMITS.authorizationByNetwork,
    isDone: (ctx) => String(ctx.response.get('location') ?? '').includes('/interaction/'),
  },
  [ROUTES.pushed_authorization_request]: {
    limit: LIMITS.pushedRequestByNetwork,
    isDone: (ctx) => ctx.status === 201,
  },
  [ROUTES.device_authorization]: {
    limit: LIMITS.deviceAuthorizationByNetwork,
    isDone: (ctx) => ctx.status === 200,
  },
  [ROUTES.code_verification]: { limit: LIMITS.anonymousSessionByNetwork, isDone: hasStartedSession },
  [ROUTES.end_session]: { limit: LIMITS.anonymousSessionByNetwork, isDone: hasStartedSession },
}

/** Endpoints with client authentication or tokens. Only failures are counted, so the right secret works beyond the limit. */
const CREDENTIAL_ENDPOINTS = new Set<string>([
  ROUTES.token,
  ROUTES.userinfo,
  ROUTES.introspection,
  ROUTES.revocation,
  ROUTES.pushed_authorization_request,
  ROUTES.device_authorization,
])

type Needs = { rateLimiter: RateLimiter; events: EventStore }

/**
 * The rate limit of requests: counts inserted rows and failed credentials per network. Other requests, and networks that
 * this instance knows to be over their limit, cost no database statement.
 *
 * Pages start one per turn of the event loop (docs/decisions.md, "One queue for passwords").
 */
export function limitRequestRate({ rateLimiter, events }: Needs): Middleware {
  const queue = createKeyedQueue()

  return async (ctx, next) => {
    const path = normalPath(ctx)
    const insertion = INSERTIONS[path]
    if (insertion) await insert(ctx, next, insertion)
    else if (isForPeople(ctx)) await queue.run({ keys: [], path: pathOf(ctx, 'page'), isPaced: true }, next)
    else await next()
    if (CREDENTIAL_ENDPOINTS.has(path) && isRejected(ctx)) await countRejected(ctx)
  }

  /** Counts after the insertion: requests without one are free, and a limit is exceeded by {@link AT_ONCE} at most. */
  async function insert(ctx: Context, next: Next, { limit, isDone }: Insertion): Promise<void> {
    const networks = byNetworks(ctx.ip, { limit })
    const path = pathOf(ctx, limit.name)
    const keys = [
      { key: `${limit.name} in ${path[0]}`, atOnce: AT_ONCE_OF_WIDEST_NETWORK, mostWaiting: MOST_WAITING },
      { key: `${limit.name} of ${path[1]}`, atOnce: AT_ONCE, mostWaiting: MOST_WAITING },
    ]
    const queued = await queue.run({ keys, path, isPaced: isForPeople(ctx) }, async () => {
      const seconds = Math.max(...networks.flat().map(rateLimiter.secondsRefused))
      if (seconds > 0) throw new TooManyRequestsError(limit, seconds)
      await next()
      if (isDone(ctx, oidcOf(ctx))) await count(ctx, networks)
    })
    if (queued.outcome !== 'done') throw new TooManyRequestsError(limit, 1)
  }

  async function countRejected(ctx: Context): Promise<void> {
    // The engine's reading comes first: an assertion names the client too, and escapes spell it in many ways.
    const clientId = oidcOf(ctx)?.client?.clientId ?? clientIdOf(ctx)
    const ofNetwork = { limit: LIMITS.tokenByNetwork }
    if (errorCodeIn(ctx) !== 'invalid_client' || clientId === undefined)
      return await count(ctx, byNetworks(ctx.ip, ofNetwork))
    const ofClient = { limit: LIMITS.clientAuthenticationByPair, of: clientId }
    const everywhere = { limit: LIMITS.clientAuthenticationByClient, of: clientId }
    await count(ctx, [...byNetworks(ctx.ip, ofNetwork, ofClient), [everywhere]], clientId)
  }

  async function count(ctx: Context, stages: readonly RateLimitKey[][], clientId?: string): Promise<void> {
    const verdict = await rateLimiter.count(...stages)
    if (verdict.outcome === 'allowed') return
    const { by, isFirst, retryAfterSeconds } = verdict
    const event = newEvent('requests.throttled', { clientId, detail: { limit: by.name } }, originOf(ctx))
    if (isFirst) await events.record([event])
    // The finished answer would redirect to a page and set a cookie.
    for (const header of ['Location', 'Set-Cookie', 'WWW-Authenticate']) ctx.remove(header)
    throw new TooManyRequestsError(by, retryAfterSeconds)
  }
}

function pathOf({ ip }: Context, name: string): [string, string, string] {
  return [widestNetworkOf(ip), networkOf(ip), name]
}

/** The device and sign-out pages of a signed-out browser keep their CSRF value in a new session. */
function hasStartedSession(_ctx: Context, oidc: Oidc | undefined): boolean {
  const session = oidc?.session as (Oidc['session'] & { new?: boolean }) | undefined
  return session?.new === true && session.accountId === undefined
}

/** Client authentication failed, or a token or code is invalid. */
function isRejected(ctx: Context): boolean {
  return ['invalid_client', 'invalid_token', 'invalid_grant'].includes(String(errorCodeIn(ctx)))
}

/** The unauthenticated client_id of a request. */
function clientIdOf(ctx: Context): string | undefined {
  const [, credentials] = /^basic (\S+)$/i.exec(ctx.get('authorization')) ?? []
  const [fromHeader] = credentials ? Buffer.from(credentials, 'base64').toString().split(':') : []
  const clientId = fromHeader ?? formOf(ctx).get('client_id') ?? undefined
  return clientId?.slice(0, MOST_CLIENT_ID_CHARACTERS)
}
