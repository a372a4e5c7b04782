import { type Adapter, Provider } from 'oidc-provider'
import { type NewEvent, newEvent } from '../../audit/event.ts'
import { sha256 } from '../../crypto/vault.ts'
import type { Ending } from '../../store/revocation/revocation.ts'
import type { RefreshAnswerStore } from '../../store/token/refresh-answer.ts'
import type { FoundToken, TokenStore } from '../../store/token/token.ts'
import type { UptimeStore } from '../../store/token/uptime.ts'
import { TOKEN_KINDS, type TokenKind } from '../../store/token-kind.ts'
import type { RegisteredScope } from '../client/registered-scope.ts'
import { AnsweredBefore } from '../engine/errors.ts'
import { currentUnit, rememberToken, type TokenRequest } from '../engine/request-context.ts'
import { expiryOf, fromStored, refuseWhenParentIsGone, toStored } from './payload.ts'

/** A duplicate of a code's redemption this soon is a double click: it loses, and harms nobody. */
const CONSUMED_GRACE_SECONDS = 10

export type TokenNeeds = {
  tokens: TokenStore
  end: (ending: Ending) => Promise<void>
  /** How long a spent refresh token is answered again instead of ending its family. */
  refreshReplaySeconds: number
  refreshAnswers: RefreshAnswerStore
  uptimes: UptimeStore
  registeredScope: RegisteredScope
}

/** A client gives a token back (RFC 7009); otherwise tokens end with something that is recorded by itself. */
function revocation(): NewEvent | undefined {
  const { oidc } = Provider.ctx ?? {}
  if (oidc?.route !== 'revocation') return undefined
  const { AccessToken, RefreshToken } = oidc.entities
  const token = AccessToken ?? RefreshToken
  const about = {
    accountSub: token?.accountId,
    clientId: oidc.client?.clientId,
    grantId: token?.grantId,
    sessionUid: token?.sessionUid,
  }
  return newEvent('token.revoked', about, currentUnit()?.origin)
}

export function tokenAdapter(
  kind: TokenKind,
  { tokens, end, refreshReplaySeconds, refreshAnswers, uptimes, registeredScope }: TokenNeeds,
): Partial<Adapter> {
  const graceSeconds = kind === 'RefreshToken' ? refreshReplaySeconds : CONSUMED_GRACE_SECONDS

  return {
    async upsert(id, payload) {
      const stored = toStored(payload)
      const token = {
        idHash: sha256(id),
        kind,
        grantId: payload.grantId,
        clientId: payload.clientId ?? '',
        payload: stored,
        expiresAt: expiryOf(stored),
      }
      const request = currentUnit()?.tokenRequest
      if (request) request.tokens.push(token)
      else await tokens.insert(token).catch(refuseWhenParentIsGone)
    },

    async find(id) {
      const idHash = sha256(id)
      const found = await findOnce(id, idHash)
      if (found?.kind !== TOKEN_KINDS[kind]) return undefined
      const unit = currentUnit()
      if (unit) rememberToken(unit, found)
      if (unit?.tokenRequest) unit.tokenRequest.source = { ...found, kindName: kind, idHash }
      const { spentSecondsAgo } = found
      const payload = fromStored(found.payload, found)
      // Only a redemption can be an honest duplicate.
      const isRepeat =
        spentSecondsAgo !== undefined &&
        unit?.tokenRequest !== undefined &&
        (await isWithinWindow(unit.tokenRequest, idHash, spentSecondsAgo))
      if (spentSecondsAgo !== undefined && !isRepeat) return { ...payload, jti: id, consumed: true }
      // A token without any scope left can still be revoked: the client may get its scope back.
      const isRevocation = Provider.ctx?.oidc?.route === 'revocation'
      const narrowed = isRevocation ? payload : await registeredScope.narrowToken(kind, payload)
      return narrowed && { ...narrowed, jti: id }
    },

    /** The engine calls this when every check has passed. */
    async consume() {
      const request = currentUnit()?.tokenRequest
      if (!request?.source) throw new TypeError('a token is spent by a token request that found it')
      request.isSpending = true
      if (request.source.spentSecondsAgo === undefined) return
      request.isRepeat = true
      throw new AnsweredBefore(`${kind} was used moments ago`)
    },

    /**
     * The engine destroys a token and then, in calls of their own, what is under its grant: that takes this token
     * along. Were it gone before and the rest failed, the retry would find nothing left to revoke (RFC 7009 §2.2.1).
     */
    async destroy(id) {
      const found = await currentUnit()?.read.tokens.get(id)
      if (!found?.grant) await end({ what: 'token', idHash: sha256(id), event: revocation() })
    },

    async revokeByGrantId(grantId) {
      // In a token request the grant's adapter revokes the family.
      if (currentUnit()?.tokenRequest) return
      // AccessToken is always revoked, so the event is recorded here.
      await end({ what: 'tokens', grantId, kind, event: kind === 'AccessToken' ? revocation() : undefined })
    },
  }

  /** Whether a duplicate is honest. Late duplicates cost further statements. */
  async function isWithinWindow(
    request: TokenRequest,
    idHash: Uint8Array,
    spentSecondsAgo: number,
  ): Promise<boolean> {
    if (spentSecondsAgo < graceSeconds) return true
    if (kind !== 'RefreshToken') {
      if ((await uptimes.secondsUp(spentSecondsAgo)) < graceSeconds) return true
    } else if (graceSeconds > 0) {
      request.lateAnswer = await refreshAnswers.findLate(idHash)
      if (request.lateAnswer !== undefined) return true
    }
    // A duplicate that was queued while this instance was suspended: its client has disconnected. A thief would wait
    // for the answer.
    return request.hasClientLeft()
  }

  /** Introspection and revocation ask for one token as each kind that it may be: one statement answers all. */
  function findOnce(id: string, idHash: Uint8Array): Promise<FoundToken | undefined> {
    const read = currentUnit()?.read.tokens
    const reading = read?.get(id) ?? tokens.find(idHash)
    read?.set(id, reading)
    return reading
  }
}
