import { calculateJwkThumbprint, decodeProtectedHeader } from 'jose'
import type { Context, Middleware } from 'koa'
import { errors, type KoaContextWithOIDC } from 'oidc-provider'
import { type EventStore, newEventId } from '../../audit/event.ts'
import type { Vault } from '../../crypto/vault.ts'
import { isRetryable, isUnavailable } from '../../db/database-error.ts'
import type { Payload } from '../../db/schema.ts'
import type { RefreshAnswerStore } from '../../store/token/refresh-answer.ts'
import type { TokenStore } from '../../store/token/token.ts'
import type { CommitOutcome, TokenCommit } from '../../store/token/token-commit.ts'
import type { Clock } from '../../time.ts'
import { REPEATED } from '../engine/engine-log.ts'
import { measureEngineAhead } from '../engine/engine-time.ts'
import { type TokenRequest, withUnitOfWork } from '../engine/request-context.ts'
import { unavailable } from '../engine/unavailable.ts'
import { originOf, tokenEvent } from './record.ts'
import type { UndeliveredAnswers } from './undelivered-answers.ts'

/** So often a client may be wrong about a code of its own before the code ends: who is wrong that often does not own it. */
const CODE_MOST_MISSES = 5

const PURPOSE = 'refresh answer'

type Needs = {
  tokenPath: string
  commitTokens: (commit: TokenCommit) => Promise<CommitOutcome>
  tokens: TokenStore
  events: EventStore
  refreshAnswers: RefreshAnswerStore
  refreshReplaySeconds: number
  undelivered: UndeliveredAnswers
  /** The identifier of this process in its heartbeat. */
  instance: string
  /** The remembered browser that a request says it comes from. */
  rememberedIdOf: (ctx: Context) => string | undefined
  vault: Vault
  now: Clock
}

/** A token response, and the request that it answered: only a retry of that same request gets it again. */
type Answer = { body: unknown; scope: unknown; resource: unknown; proofKey: string | undefined }

/**
 * Runs the engine in a unit of work. A token request is committed after the engine has made its answer and before
 * anybody sees it: what is spent, what is issued and what is recorded, in one statement, all or nothing.
 */
export function createUnitOfWork(needs: Needs): Middleware {
  const {
    tokenPath,
    commitTokens,
    tokens,
    events,
    refreshAnswers,
    refreshReplaySeconds,
    undelivered,
    instance,
    vault,
  } = needs

  return async (ctx, next) => {
    const isTokenRequest = ctx.path.toLowerCase().replace(/\/$/, '') === tokenPath
    const from = {
      origin: originOf(ctx),
      hasClientLeft: () => ctx.res.closed,
      rememberedId: needs.rememberedIdOf(ctx),
      arrivedAt: ctx.state.arrivedAt ?? needs.now(),
      isSafe: ctx.method === 'GET' || ctx.method === 'HEAD',
      engineAheadSeconds: measureEngineAhead(needs.now),
    }
    await withUnitOfWork({ isTokenRequest, ...from }, async ({ tokenRequest }) => {
      await next()
      if (!tokenRequest) return
      try {
        await finish(ctx as unknown as KoaContextWithOIDC, tokenRequest)
      } catch (error) {
        if (!isRetryable(error)) throw error
        refuse(ctx as unknown as KoaContextWithOIDC, unavailable(error))
      }
    })
  }

  async function finish(ctx: KoaContextWithOIDC, request: TokenRequest): Promise<void> {
    if (request.isRepeat) return await answerAgain(ctx, request)
    // What the engine refused changes nothing, even if it was refused after something was to be spent.
    if (ctx.status !== 200) return await noteMiss(ctx, request)
    const outcome = await store(ctx, request)
    if (outcome === 'ended')
      return refuse(ctx, new errors.InvalidGrant('the grant ended during this request'))
    if (outcome === 'spent') return await answerAgain(ctx, request)
    for (const tell of request.whenCommitted) tell()
  }

  /**
   * A client had a code of its own and not what it made with it: verifier, DPoP key, redirect URI (RFC 7636 §4.6). An
   * honest one may err, and tries again; whoever found the code somewhere has few tries. Other clients' do not count,
   * or anybody could end a code.
   */
  async function noteMiss(ctx: KoaContextWithOIDC, { source, isSpending }: TokenRequest): Promise<void> {
    const { client } = ctx.oidc
    const isOwnCode = source?.kindName === 'AuthorizationCode' && source.payload.clientId === client?.clientId
    if (!isOwnCode || isSpending || source.spentSecondsAgo !== undefined || !isInvalidGrant(ctx.body)) return
    if (!(await tokens.noteMiss(source.idHash, CODE_MOST_MISSES))) return
    await events.record([tokenEvent('authorization_code.burnt', ctx, source)])
  }

  async function store(ctx: KoaContextWithOIDC, request: TokenRequest): Promise<CommitOutcome> {
    const { source, isSpending } = request
    if (!isSpending || !source?.grant) {
      await Promise.all(request.tokens.map((token) => tokens.insert(token)))
      return 'committed'
    }
    const isRefresh = source.kindName === 'RefreshToken'
    const repeats = isRefresh && refreshReplaySeconds > 0
    const id = newEventId()
    const sealed = repeats ? await sealAnswer(ctx, source.idHash) : undefined
    const owed = sealed && { spentHash: source.idHash, commitId: id }
    try {
      const outcome = await commitTokens({
        id,
        spends: source.idHash,
        grantId: source.grant.id,
        sessionUid: source.kindName === 'AuthorizationCode' ? sessionUidOf(source.payload) : undefined,
        tokens: request.tokens,
        answer: sealed && { sealed, seconds: refreshReplaySeconds, madeBy: instance },
        events: [tokenEvent(isRefresh ? 'token.rotated' : 'token.issued', ctx, source, id)],
      })
      if (owed && outcome === 'committed' && request.hasClientLeft()) undelivered.add(owed)
      return outcome
    } catch (error) {
      // The outcome of the commit is unknown.
      if (owed && isUnavailable(error)) undelivered.add(owed)
      throw error
    }
  }

  /**
   * A just-spent refresh token again: its answer was lost, or two tabs sent it. The same client with the same
   * request and DPoP key gets the same answer; everything else about it the engine has checked by now. Codes are
   * never answered twice.
   */
  async function answerAgain(ctx: KoaContextWithOIDC, request: TokenRequest): Promise<void> {
    const { source, lateAnswer } = request
    const isRefresh = source?.kindName === 'RefreshToken'
    const sealed = lateAnswer ?? (isRefresh ? await refreshAnswers.find(source.idHash) : undefined)
    const opened = source && sealed && vault.find(sealed, PURPOSE, [source.idHash])
    const answer: Answer | undefined = opened && JSON.parse(opened)
    if (!source || !answer || !isSameRequest(answer, await describeRequest(ctx)))
      return refuse(ctx, new errors.InvalidGrant(`${source?.kindName} was used by a concurrent request`))
    await noteRepeat(source, request.hasClientLeft)
    ctx.status = 200
    ctx.body = answer.body
    ctx.oidc.provider.emit(REPEATED, ctx)
  }

  /**
   * A client that disconnects makes its answer undelivered, which stays repeatable for minutes. Once repeated it must
   * not be repeatable that long again: with a stolen token, the second of the client and the thief would not be
   * detected.
   */
  async function noteRepeat(
    { idHash, consumedBy }: NonNullable<TokenRequest['source']>,
    hasClientLeft: () => boolean,
  ): Promise<void> {
    if (hasClientLeft()) return
    const owe = (commitId: string | undefined) => commitId && undelivered.add({ spentHash: idHash, commitId })
    try {
      const commitId = await refreshAnswers.noteRepeat(idHash, refreshReplaySeconds)
      if (hasClientLeft()) owe(commitId)
      else undelivered.forget(idHash)
    } catch (error) {
      if (isUnavailable(error)) owe(consumedBy)
      throw error
    }
  }

  async function sealAnswer(ctx: KoaContextWithOIDC, spentHash: Uint8Array): Promise<Buffer> {
    const answer: Answer = { body: ctx.body, ...(await describeRequest(ctx)) }
    return vault.seal(JSON.stringify(answer), PURPOSE, [spentHash])
  }
}

async function describeRequest(ctx: KoaContextWithOIDC): Promise<Omit<Answer, 'body'>> {
  const { scope, resource } = ctx.oidc.params ?? {}
  // The engine has verified the proof: its key is the one that signed it.
  const proof = ctx.get('dpop')
  const { jwk } = proof ? decodeProtectedHeader(proof) : {}
  return { scope, resource, proofKey: jwk && (await calculateJwkThumbprint(jwk)) }
}

function isSameRequest(answer: Answer, request: Omit<Answer, 'body'>): boolean {
  const key = ({ scope, resource, proofKey }: Omit<Answer, 'body'>) =>
    JSON.stringify([scope ?? null, resource ?? null, proofKey ?? null])
  return key(answer) === key(request)
}

function sessionUidOf({ sessionUid }: Payload): string | undefined {
  return typeof sessionUid === 'string' ? sessionUid : undefined
}

function isInvalidGrant(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'error' in body && body.error === 'invalid_grant'
}

/** Answers as the engine would have, had it known. */
function refuse(ctx: KoaContextWithOIDC, error: errors.OIDCProviderError): void {
  ctx.status = error.statusCode
  ctx.body = { error: error.error, error_description: error.error_description }
  ctx.oidc.provider.emit('grant.error', ctx, error)
}
