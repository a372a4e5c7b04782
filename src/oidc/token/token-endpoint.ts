/**
 * Room oidc/token/: the token endpoint (RFC 6749 §3.2). This file has its steps in order; refresh-replay.ts
 * distinguishes a retry from a stolen token and repeats answers; token-event.ts makes the audit events.
 */
import { randomUUID } from 'node:crypto'
import type { Middleware } from 'koa'
import { errors, type KoaContextWithOIDC } from 'oidc-provider'
import type { EventStore } from '../../audit/event-store.ts'
import { isRetryable, isUnavailable } from '../../db/database-error.ts'
import type { TokenStore } from '../../store/token/token.ts'
import type { CommitOutcome, TokenCommit } from '../../store/token/token-commit.ts'
import { ANSWER_REPEATED, TOKENS_COMMITTED } from '../engine/engine-log.ts'
import { errorCodeIn, unavailable } from '../engine/errors.ts'
import { currentRequest } from '../engine/request-context.ts'
import type { Source, TokenRequest } from '../engine/token-request.ts'
import type { RefreshReplay } from './refresh-replay.ts'
import { tokenEvent } from './token-event.ts'

/**
 * How often a client may present its own code with a wrong proof before the code is revoked: an attacker has few tries.
 */
const CODE_MOST_MISSES = 5

type Needs = {
  commitTokens: (commit: TokenCommit) => Promise<CommitOutcome>
  tokens: TokenStore
  events: EventStore
  refreshReplay: RefreshReplay
}

/**
 * The token endpoint around the engine. One statement commits all that a request spends, issues and records, or
 * nothing. It runs after the engine has made its answer and before the answer is sent.
 */
export function createTokenEndpoint({ commitTokens, tokens, events, refreshReplay }: Needs): Middleware {
  return async (koaContext, next) => {
    const { tokenRequest: request } = currentRequest()
    // The engine asks its adapter for the presented token, checks the request, and makes its answer.
    await next()
    if (!request) return
    const ctx = koaContext as unknown as KoaContextWithOIDC
    try {
      if (ctx.status !== 200) return await recordMiss(ctx, request.source)
      await commitAndAnswer(ctx, request)
    } catch (error) {
      if (!isRetryable(error)) throw error
      refuse(ctx, unavailable(error))
    }
  }

  async function commitAndAnswer(ctx: KoaContextWithOIDC, request: TokenRequest): Promise<void> {
    const { source, hasClientLeft } = request
    const outcome = source ? await spend(ctx, source, request) : await insert(request)
    switch (outcome) {
      case 'committed':
        ctx.oidc.provider.emit(TOKENS_COMMITTED, ctx)
        return
      case 'ended':
        return refuse(ctx, new errors.InvalidGrant('the grant ended during this request'))
      case 'spent': {
        const body = source && (await refreshReplay.findAnswer(ctx, source))
        if (!source || !body)
          return refuse(ctx, new errors.InvalidGrant(`${source?.kindName} was used by a concurrent request`))
        await refreshReplay.recordRepeat(source, hasClientLeft)
        ctx.body = body
        ctx.oidc.provider.emit(ANSWER_REPEATED, ctx)
      }
    }
  }

  /** Client credentials spend nothing. */
  async function insert({ issued }: TokenRequest): Promise<CommitOutcome> {
    await Promise.all(issued.map((token) => tokens.insert(token)))
    return 'committed'
  }

  /** Of any number of requests that spend one token, exactly one gets `committed` (RFC 6749 §4.1.2). */
  async function spend(
    ctx: KoaContextWithOIDC,
    source: Source,
    { issued, hasClientLeft }: TokenRequest,
  ): Promise<CommitOutcome> {
    if (source.state === 'replayed') return 'spent'
    if (source.state !== 'spent' || !source.grant) throw new TypeError('the engine answered without checks')
    const id = randomUUID()
    const isRefresh = source.kindName === 'RefreshToken'
    const commit: TokenCommit = {
      id,
      spends: source.idHash,
      grantId: source.grant.id,
      sessionUid: source.kindName === 'AuthorizationCode' ? sessionUidOf(source) : undefined,
      tokens: issued,
      answer: await refreshReplay.sealAnswer(ctx, source),
      events: [tokenEvent(isRefresh ? 'token.rotated' : 'token.issued', ctx, source)],
    }
    try {
      const outcome = await commitTokens(commit)
      if (outcome === 'committed' && hasClientLeft()) refreshReplay.recordUndelivered(source, id)
      return outcome
    } catch (error) {
      // The outcome of the commit is unknown.
      if (isUnavailable(error)) refreshReplay.recordUndelivered(source, id)
      throw error
    }
  }

  /**
   * Counts a refused attempt of a client to redeem its own code: a wrong verifier, DPoP key or redirect URI (RFC 7636
   * §4.6). Attempts of other clients do not count, otherwise they could revoke a code.
   */
  async function recordMiss(ctx: KoaContextWithOIDC, source: Source | undefined): Promise<void> {
    const isOwnCode =
      source?.kindName === 'AuthorizationCode' && source.payload.clientId === ctx.oidc.client?.clientId
    if (!isOwnCode || source.state !== 'presented' || errorCodeIn(ctx) !== 'invalid_grant') return
    if (!(await tokens.recordMiss(source.idHash, CODE_MOST_MISSES))) return
    await events.record([tokenEvent('authorization_code.burnt', ctx, source)])
  }
}

function sessionUidOf({ payload: { sessionUid } }: Source): string | undefined {
  return typeof sessionUid === 'string' ? sessionUid : undefined
}

function refuse(ctx: KoaContextWithOIDC, error: errors.OIDCProviderError): void {
  ctx.status = error.statusCode
  ctx.body = { error: error.error, error_description: error.error_description }
  ctx.oidc.provider.emit('grant.error', ctx, error)
}
