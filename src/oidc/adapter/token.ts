import { type Adapter, Provider } from 'oidc-provider'
import { type NewEvent, newEvent } from '../../audit/event.ts'
import { sha256 } from '../../crypto/vault.ts'
import { TOKEN_KINDS, type TokenKind } from '../../db/token-kind.ts'
import type { Stores } from '../../store/stores.ts'
import type { RegisteredScope } from '../client/registered-scope.ts'
import { currentRequest } from '../engine/request-context.ts'
import type { RefreshReplay } from '../token/refresh-replay.ts'
import { expiryOf, fromStored, refuseWhenParentIsGone, toStored } from './payload.ts'

type Needs = {
  stores: Pick<Stores, 'tokens' | 'revocations'>
  refreshReplay: Pick<RefreshReplay, 'classify'>
  registeredScope: RegisteredScope
}

/** The audit event of a revocation by the client (RFC 7009). Other revocations record their own event. */
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
  return newEvent('token.revoked', about, currentRequest().origin)
}

export function tokenAdapter(
  kind: TokenKind,
  { stores, refreshReplay, registeredScope }: Needs,
): Partial<Adapter> {
  const { tokens, revocations } = stores
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
      const { tokenRequest } = currentRequest()
      if (tokenRequest) tokenRequest.recordIssued(token)
      else await tokens.insert(token).catch(refuseWhenParentIsGone)
    },

    async find(id) {
      const request = currentRequest()
      const idHash = sha256(id)
      const found = await request.readToken(id, () => tokens.find(idHash))
      if (found?.kind !== TOKEN_KINDS[kind]) return undefined
      request.recordToken(found)
      const presented = { ...found, kindName: kind, idHash }
      const { tokenRequest } = request
      const use = tokenRequest && (await refreshReplay.classify(presented, tokenRequest.hasClientLeft))
      if (use) tokenRequest?.recordSource({ ...presented, ...use })
      const payload = fromStored(found.payload, found)
      const isSpent = use ? use.state === 'reused' : found.spentSecondsAgo !== undefined
      if (isSpent) return { ...payload, jti: id, consumed: true }
      // A token without any scope left can still be revoked: the client may get its scope back.
      const isRevocation = Provider.ctx?.oidc?.route === 'revocation'
      const narrowed = isRevocation ? payload : await registeredScope.narrowToken(kind, payload)
      return narrowed && { ...narrowed, jti: id }
    },

    /** The engine calls this when every check has passed. The token endpoint spends the token, or repeats the answer. */
    async consume() {
      currentRequest().tokenRequest?.markSpent()
    },

    /**
     * The engine destroys a token and then revokes its grant's tokens in separate calls, which include this one. If it
     * were deleted first and a later call failed, the retry would find nothing to revoke (RFC 7009 §2.2.1).
     */
    async destroy(id) {
      const found = await currentRequest().findToken(id)
      if (!found?.grant) await revocations.revoke({ kind: 'token', idHash: sha256(id), event: revocation() })
    },

    async revokeByGrantId(grantId) {
      // In a token request the grant's adapter revokes the family.
      if (currentRequest().tokenRequest) return
      // AccessToken is always revoked, so the event is recorded here.
      const event = kind === 'AccessToken' ? revocation() : undefined
      await revocations.revoke({ kind: 'tokens', grantId, tokenKind: kind, event })
    },
  }
}
