import { type Adapter, type AdapterPayload, Provider } from 'oidc-provider'
import { isForeignKeyViolation } from '../../store/fault.ts'
import type { GrantStore } from '../../store/grant.ts'
import type { Payload } from '../../store/schema.ts'
import type { SessionStore } from '../../store/session.ts'
import { sha256, type Vault } from '../../vault.ts'
import { endOfflineGrants } from '../logout.ts'
import { expiryOf, withoutId } from './payload.ts'

export function sessionAdapter({
  sessions,
  grants,
  vault,
}: {
  sessions: SessionStore
  grants: GrantStore
  vault: Vault
}): Partial<Adapter> {
  const purpose = 'session state'
  const seal = ({ state, ...payload }: Payload): Payload =>
    state === undefined
      ? payload
      : { ...payload, state: vault.seal(JSON.stringify(state), purpose).toString('base64') }
  const open = ({ state, ...payload }: Payload): AdapterPayload =>
    typeof state === 'string'
      ? { ...payload, state: JSON.parse(vault.open(Buffer.from(state, 'base64'), purpose)) }
      : payload

  return {
    async upsert(id, payload) {
      const { uid, accountId } = payload
      if (typeof uid !== 'string') throw new TypeError('a session has a uid')
      try {
        await sessions.upsert({
          idHash: sha256(id),
          uid,
          accountSub: accountId,
          payload: seal(withoutId(payload)),
          expiresAt: expiryOf(payload),
        })
      } catch (error) {
        // The person was deleted while this request ran: there is nobody left to remember.
        if (!isForeignKeyViolation(error)) throw error
      }
    },
    async find(id) {
      const payload = await sessions.find(sha256(id))
      return payload && { ...open(payload), jti: id }
    },
    async findByUid(uid) {
      const payload = await sessions.findByUid(uid)
      return payload && open(payload)
    },
    async destroy(id) {
      const { ctx } = Provider
      // The engine destroys a session's old row when its id rotates too.
      if (ctx?.oidc?.route === 'end_session_confirm' && ctx.oidc.params?.logout)
        await endOfflineGrants(ctx, grants)
      await sessions.end(sha256(id))
    },
  }
}
