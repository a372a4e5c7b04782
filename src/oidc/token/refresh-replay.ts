import { calculateJwkThumbprint, decodeProtectedHeader } from 'jose'
import type { KoaContextWithOIDC } from 'oidc-provider'
import type { Vault } from '../../crypto/vault.ts'
import { isUnavailable } from '../../db/database-error.ts'
import type { TokenKind } from '../../db/token-kind.ts'
import type { Stores } from '../../store/stores.ts'
import type { Source, Use } from '../engine/token-request.ts'
import type { UndeliveredAnswers } from './undelivered-answers.ts'

/** A second redemption of a code within this time is a double click: it is refused, and the first one's tokens live. */
const CODE_GRACE_SECONDS = 10
const PURPOSE = 'refresh answer'

type Needs = {
  stores: Pick<Stores, 'refreshAnswers' | 'uptimes'>
  undelivered: UndeliveredAnswers
  vault: Vault
  /** How long the answer to a refresh is repeated; 0: never. */
  refreshReplaySeconds: number
  /** The identifier of this process in its heartbeat. */
  instance: string
}

/** A token response, and the request that it answered: only a retry of that request gets it again. */
type Answer = { body: unknown } & AnsweredRequest
type AnsweredRequest = { scope: unknown; resource: unknown; proofKey: string | undefined }

export type RefreshReplay = ReturnType<typeof createRefreshReplay>

/**
 * Distinguishes an honest duplicate of a token request from the reuse of a stolen token, and repeats the answer to a
 * refresh. A client whose answer was lost retries, and two tabs may refresh at the same moment; without this the retry
 * would end the session (RFC 9700 §4.14.2). Codes are never answered twice.
 */
export function createRefreshReplay(needs: Needs) {
  const { undelivered, vault, refreshReplaySeconds, instance } = needs
  const { refreshAnswers, uptimes } = needs.stores

  /** Whether the token is spent for the first time, again as an honest duplicate, or reused. */
  async function classify(
    { kindName, idHash, spentSecondsAgo }: Pick<Source, 'kindName' | 'idHash' | 'spentSecondsAgo'>,
    hasClientLeft: () => boolean,
  ): Promise<Use> {
    if (spentSecondsAgo === undefined) return { state: 'presented' }
    const replayed = { state: 'replayed', lateAnswer: undefined } as const
    const windowSeconds = windowOf(kindName)
    if (spentSecondsAgo < windowSeconds) return replayed
    if (kindName !== 'RefreshToken') {
      if ((await uptimes.secondsUp(spentSecondsAgo)) < windowSeconds) return replayed
    } else if (windowSeconds > 0) {
      const lateAnswer = await refreshAnswers.findLate(idHash)
      if (lateAnswer !== undefined) return { state: 'replayed', lateAnswer }
    }
    // A duplicate that was queued while this instance was suspended: its client has disconnected. An attacker would
    // wait for the answer.
    return hasClientLeft() ? replayed : { state: 'reused' }
  }

  function windowOf(kind: TokenKind): number {
    return kind === 'RefreshToken' ? refreshReplaySeconds : CODE_GRACE_SECONDS
  }

  /** The answer that the commit of a refresh stores, sealed; undefined when it is never repeated. */
  async function sealAnswer(ctx: KoaContextWithOIDC, { kindName, idHash }: Source) {
    if (kindName !== 'RefreshToken' || refreshReplaySeconds === 0) return undefined
    const answer: Answer = { body: ctx.body, ...(await describeRequest(ctx)) }
    const sealed = vault.seal(JSON.stringify(answer), PURPOSE, [idHash])
    return { sealed, seconds: refreshReplaySeconds, madeBy: instance }
  }

  /** The client did not receive the answer, or may not have. */
  function recordUndelivered({ kindName, idHash }: Source, commitId: string | undefined): void {
    if (kindName !== 'RefreshToken' || refreshReplaySeconds === 0 || commitId === undefined) return
    undelivered.add({ spentHash: idHash, commitId })
  }

  /**
   * The stored body for the same client with the same request and DPoP key. The engine has checked everything else.
   *
   * @returns undefined when there is none for this request.
   */
  async function findAnswer(ctx: KoaContextWithOIDC, source: Source): Promise<unknown> {
    if (source.kindName !== 'RefreshToken') return undefined
    const lateAnswer = source.state === 'replayed' ? source.lateAnswer : undefined
    const sealed = lateAnswer ?? (await refreshAnswers.find(source.idHash))
    const opened = sealed && vault.tryOpen(sealed, PURPOSE, [source.idHash])
    if (!opened) return undefined
    const answer: Answer = JSON.parse(opened)
    return isSameRequest(answer, await describeRequest(ctx)) ? answer.body : undefined
  }

  /**
   * An undelivered answer stays repeatable for minutes. Once repeated it must not be repeatable that long again: with a
   * stolen token, the second of the client and the attacker would not be detected.
   */
  async function recordRepeat(source: Source, hasClientLeft: () => boolean): Promise<void> {
    if (hasClientLeft()) return
    try {
      const commitId = await refreshAnswers.recordRepeat(source.idHash, refreshReplaySeconds)
      if (hasClientLeft()) recordUndelivered(source, commitId)
      else undelivered.forget(source.idHash)
    } catch (error) {
      if (isUnavailable(error)) recordUndelivered(source, source.consumedBy)
      throw error
    }
  }

  return { classify, sealAnswer, recordUndelivered, findAnswer, recordRepeat }
}

async function describeRequest(ctx: KoaContextWithOIDC): Promise<AnsweredRequest> {
  const { scope, resource } = ctx.oidc.params ?? {}
  // The engine has verified the proof: its key is the one that signed it.
  const proof = ctx.get('dpop')
  const { jwk } = proof ? decodeProtectedHeader(proof) : {}
  return { scope, resource, proofKey: jwk && (await calculateJwkThumbprint(jwk)) }
}

function isSameRequest(answered: AnsweredRequest, request: AnsweredRequest): boolean {
  const key = ({ scope, resource, proofKey }: AnsweredRequest) =>
    JSON.stringify([scope ?? null, resource ?? null, proofKey ?? null])
  return key(answered) === key(request)
}
