import type { Context, Middleware, Next } from 'koa'
import type { KoaContextWithOIDC } from 'oidc-provider'
import { newEvent } from '../../audit/event.ts'
import type { EventStore } from '../../audit/event-store.ts'
import { isForPeople, normalPath, ROUTES } from '../../oidc/engine/endpoints.ts'
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
  type Verdict,
} from '../../rate-limiting/rate-limiter.ts'

const MOST_CLIENT_ID_CHARACTERS = 256
/** Of one network, for each thing that it may create; and of the widest one around it. */
const AT_ONCE = 16
const AT_ONCE_OF_WIDEST_NETWORK = 64
const MOST_WAITING = 1_000

/** Too many of these came: 429, and when to come again (RFC 6585 §4). */
export class TooManyRequestsError extends Error {
  override name = 'TooManyRequestsError'
  readonly retryAfterSeconds: number
  constructor({ name }: RateLimit, retryAfterSeconds: number) {
    super(`the limit ${name} was reached`)
    this.retryAfterSeconds = retryAfterSeconds
  }
}

type Oidc = KoaContextWithOIDC['oidc']
type Creation = { limit: RateLimit; isDone: (ctx: Context, oidc: Oidc | undefined) => boolean }

const oidcOf = (ctx: Context) => (ctx as Context & { oidc?: Oidc }).oidc

/** What leaves a row behind for nothing, by the path that it is asked for at: a network that did it too often is not let in. */
const CREATIONS: Record<
  string,
  { limit: RateLimit; isDone: (ctx: Context, oidc: Oidc | undefined) => boolean }
> = {
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

/** Where clients authenticate and tokens are presented: guesses are counted, and whoever is right is let in all the same. */
const GUESSED_AT = new Set<string>([
  ROUTES.token,
  ROUTES.userinfo,
  ROUTES.introspection,
  ROUTES.revocation,
  ROUTES.pushed_authorization_request,
  ROUTES.device_authorization,
])

/**
 * Counts what floods would do: what they create and what they guess at. Nothing is asked of the database for requests
 * that do neither, nor for a network of which this instance knows that it has reached its limit.
 */
export function limitRequestRate({
  rateLimiter,
  events,
}: {
  rateLimiter: RateLimiter
  events: EventStore
}): Middleware {
  const queue = createKeyedQueue()

  return async (ctx, next) => {
    const path = normalPath(ctx)
    const creation = CREATIONS[path]
    if (creation) await create(ctx, next, creation)
    else if (isForPeople(ctx)) await queue.run({ keys: [], path: pathOf(ctx, 'page'), isPaced: true }, next)
    else await next()
    if (GUESSED_AT.has(path) && isWrongGuess(ctx)) await countGuess(ctx)
  }

  /** What is created is counted when it is there: so many at once may go beyond the limit, and no more. */
  async function create(ctx: Context, next: Next, { limit, isDone }: Creation): Promise<void> {
    const networks = byNetworks(ctx.ip, { limit })
    const path = pathOf(ctx, limit.name)
    const keys = [
      { key: `${limit.name} in ${path[0]}`, atOnce: AT_ONCE_OF_WIDEST_NETWORK, mostWaiting: MOST_WAITING },
      { key: `${limit.name} of ${path[1]}`, atOnce: AT_ONCE, mostWaiting: MOST_WAITING },
    ]
    const turn = await queue.run({ keys, path, isPaced: isForPeople(ctx) }, async () => {
      const seconds = Math.max(...networks.flat().map(rateLimiter.secondsRefused))
      if (seconds > 0) throw new TooManyRequestsError(limit, seconds)
      await next()
      if (isDone(ctx, oidcOf(ctx))) await count(ctx, networks)
    })
    if (turn.outcome !== 'done') throw new TooManyRequestsError(limit, 1)
  }

  async function countGuess(ctx: Context): Promise<void> {
    // The engine's own reading, where there is such a client: an assertion names it, escapes spell it in many ways.
    const clientId = oidcOf(ctx)?.client?.clientId ?? clientIdOf(ctx)
    const guess = { limit: LIMITS.tokenByNetwork }
    if (errorIn(ctx) !== 'invalid_client' || clientId === undefined)
      return await count(ctx, byNetworks(ctx.ip, guess))
    const ofClient = { limit: LIMITS.clientAuthenticationByPair, of: clientId }
    const everywhere = { limit: LIMITS.clientAuthenticationByClient, of: clientId }
    await count(ctx, [...byNetworks(ctx.ip, guess, ofClient), [everywhere]], clientId)
  }

  async function count(ctx: Context, stages: readonly RateLimitKey[][], clientId?: string): Promise<void> {
    const verdict = await rateLimiter.count(...stages)
    if (verdict.outcome === 'allowed') return
    if (verdict.isFirst) await record(ctx, verdict, clientId)
    // The answer that was made already leads on: to a page, with a cookie.
    for (const header of ['Location', 'Set-Cookie', 'WWW-Authenticate']) ctx.remove(header)
    throw new TooManyRequestsError(verdict.by, verdict.retryAfterSeconds)
  }

  async function record(
    ctx: Context,
    { by }: Extract<Verdict, { outcome: 'refused' }>,
    clientId: string | undefined,
  ): Promise<void> {
    const detail = { limit: by.name }
    await events.record([newEvent('requests.throttled', { clientId, detail }, originOf(ctx))])
  }
}

function pathOf({ ip }: Context, name: string): [string, string, string] {
  return [widestNetworkOf(ip), networkOf(ip), name]
}

/** The device and sign-out pages of a browser that nobody is signed in with keep their CSRF value in a session. */
function hasStartedSession(_ctx: Context, oidc: Oidc | undefined): boolean {
  const session = oidc?.session as (Oidc['session'] & { new?: boolean }) | undefined
  return session?.new === true && session.accountId === undefined
}

/** A client that could not authenticate, a token or code that nobody issued. */
function isWrongGuess(ctx: Context): boolean {
  return ['invalid_client', 'invalid_token', 'invalid_grant'].includes(errorIn(ctx))
}

function errorIn(ctx: Context): string {
  const { error } = (typeof ctx.body === 'object' && ctx.body !== null ? ctx.body : {}) as { error?: unknown }
  return String(error)
}

/** Which client a request says it is of; nothing vouches for it. */
function clientIdOf(ctx: Context): string | undefined {
  const [, credentials] = /^basic (\S+)$/i.exec(ctx.get('authorization')) ?? []
  const [fromHeader] = credentials ? Buffer.from(credentials, 'base64').toString().split(':') : []
  const clientId = fromHeader ?? formOf(ctx).get('client_id') ?? undefined
  return clientId?.slice(0, MOST_CLIENT_ID_CHARACTERS)
}
