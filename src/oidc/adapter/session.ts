import type { Adapter, AdapterPayload } from 'oidc-provider'
import { isForeignKeyViolation } from '../../store/fault.ts'
import type { Payload } from '../../store/schema.ts'
import type { SessionStore } from '../../store/session.ts'
import { sha256, type Vault } from '../../vault.ts'
import { expiryOf, withoutId } from './payload.ts'

export function sessionAdapter({
  sessions,
  vault,
}: {
  sessions: SessionStore
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
    destroy: (id) => sessions.end(sha256(id)),
  }
}
