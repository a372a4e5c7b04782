import { type Adapter, type AdapterPayload, Provider } from 'oidc-provider'
import type { Stores } from '../../store/stores.ts'
import type { RegisteredScope } from '../client/registered-scope.ts'
import { ProofOutdatedError } from '../engine/errors.ts'
import { currentRequest } from '../engine/request-context.ts'
import { provenEpoch } from '../session/authentication.ts'
import { describeReuse } from '../token/token-event.ts'
import { expiryOf, fromStored, refuseWhenParentIsGone, toStored } from './payload.ts'

type Needs = {
  stores: Pick<Stores, 'grants' | 'revocations'>
  registeredScope: Pick<RegisteredScope, 'narrowGrant'>
}

export function grantAdapter({ stores: { grants, revocations }, registeredScope }: Needs): Partial<Adapter> {
  return {
    async upsert(id, payload) {
      const { accountId, clientId } = requireOwner(payload)
      const request = currentRequest()
      request.grants.delete(id)
      const stored = toStored(payload)
      const isStored = await grants
        .upsert({
          id,
          accountSub: accountId,
          clientId,
          payload: stored,
          expiresAt: expiryOf(stored),
          origin: request.origin,
          accessEpoch: provenEpoch(accountId),
        })
        .catch(refuseWhenParentIsGone)
      if (!isStored) throw new ProofOutdatedError('the person was signed out everywhere during this request')
    },

    async find(id) {
      // A copy: the engine changes what it is given.
      const payload = structuredClone(currentRequest().grants.get(id)) ?? (await grants.find(id))
      if (!payload) return undefined
      return { ...(await registeredScope.narrowGrant(fromStored(payload, { isExpired: false }))), jti: id }
    },

    async destroy(id) {
      const { ctx } = Provider
      const request = currentRequest()
      request.grants.delete(id)
      const source = request.tokenRequest?.source
      if (!ctx || source?.state !== 'reused') return await revocations.revoke({ kind: 'grant', grantId: id })
      const { event, family, sessionUid } = describeReuse(ctx, source)
      const cause = { reason: 'refresh_token_reused', by: 'server', origin: request.origin } as const
      const session = sessionUid === undefined ? undefined : { uid: sessionUid, cause }
      await revocations.revoke({ kind: 'family', grantId: id, family, session, event })
    },
  }
}

function requireOwner({ accountId, clientId }: AdapterPayload): { accountId: string; clientId: string } {
  if (!accountId || !clientId) throw new TypeError('a grant has an account and a client')
  return { accountId, clientId }
}
