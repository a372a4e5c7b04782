import type { Adapter, AdapterPayload } from 'oidc-provider'
import type { GrantStore } from '../../store/grant.ts'
import { expiryOf, refuseWhenParentIsGone, withoutId } from './payload.ts'

export function grantAdapter({ grants }: { grants: GrantStore }): Partial<Adapter> {
  return {
    async upsert(id, payload) {
      const { accountId, clientId } = requireOwner(payload)
      await grants
        .upsert({
          id,
          accountSub: accountId,
          clientId,
          payload: withoutId(payload),
          expiresAt: expiryOf(payload),
        })
        .catch(refuseWhenParentIsGone)
    },
    async find(id) {
      const payload = await grants.find(id)
      return payload && { ...payload, jti: id }
    },
    destroy: (id) => grants.delete(id),
  }
}

function requireOwner({ accountId, clientId }: AdapterPayload): { accountId: string; clientId: string } {
  if (!accountId || !clientId) throw new TypeError('a grant has an account and a client')
  return { accountId, clientId }
}
