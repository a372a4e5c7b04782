import { type Adapter, errors, Provider } from 'oidc-provider'
import type { TokenKind, TokenStore } from '../../store/token.ts'
import { sha256 } from '../../vault.ts'
import { CONSUMED_GRACE_SECONDS } from '../policy.ts'
import { expiryOf, refuseWhenParentIsGone, withoutId } from './payload.ts'

export type TokenNeeds = {
  tokens: TokenStore
  /** How long a spent refresh token is refused without ending its family. */
  refreshReplaySeconds: number
}

export function tokenAdapter(
  kind: TokenKind,
  { tokens, refreshReplaySeconds }: TokenNeeds,
): Partial<Adapter> {
  const graceSeconds = kind === 'RefreshToken' ? refreshReplaySeconds : CONSUMED_GRACE_SECONDS
  return {
    async upsert(id, payload) {
      await tokens
        .upsert({
          idHash: sha256(id),
          kind,
          grantId: payload.grantId,
          clientId: payload.clientId ?? '',
          payload: withoutId(payload),
          expiresAt: expiryOf(payload),
        })
        .catch(refuseWhenParentIsGone)
    },
    async find(id) {
      // Only who redeems it may have sent it twice; to everybody else a spent token is spent.
      const grace = Provider.ctx?.oidc?.route === 'token' ? graceSeconds : 0
      const row = await tokens.find(kind, sha256(id), grace)
      return row && { ...row.payload, jti: id, ...(row.consumed ? { consumed: true } : {}) }
    },
    async consume(id) {
      if (await tokens.consume(kind, sha256(id))) return
      throw new errors.InvalidGrant(`${kind} was used by a concurrent request`)
    },
    destroy: (id) => tokens.delete(sha256(id)),
    revokeByGrantId: (grantId) => tokens.deleteByGrant(kind, grantId),
  }
}
