import type { Adapter, AdapterPayload } from 'oidc-provider'
import type { Storage } from './engine-configuration.ts'

/**
 * The simplest storage: one Map, no expiry. The engine's own in-memory adapter keeps the latest 1000 entries only, and
 * the bench makes more codes than that.
 */
export function createMemoryStorage(): Storage {
  const entries = new Map<string, AdapterPayload>()
  const idsByGrant = new Map<string, Set<string>>()
  const idByUid = new Map<string, string>()
  const idByUserCode = new Map<string, string>()
  const people = new Map<string, { sub: string; name: string; email: string }>()

  const adapter = (model: string): Adapter => {
    const keyOf = (id: string) => `${model}:${id}`
    return {
      async upsert(id, payload) {
        entries.set(keyOf(id), payload)
        const { grantId, uid, userCode } = payload
        if (grantId !== undefined && model !== 'Grant') {
          const ids = idsByGrant.get(grantId) ?? new Set()
          idsByGrant.set(grantId, ids.add(keyOf(id)))
        }
        if (uid !== undefined && model === 'Session') idByUid.set(uid, id)
        if (userCode !== undefined) idByUserCode.set(userCode, id)
      },
      find: async (id) => entries.get(keyOf(id)),
      findByUid: async (uid) => entries.get(keyOf(idByUid.get(uid) ?? '')),
      findByUserCode: async (userCode) => entries.get(keyOf(idByUserCode.get(userCode) ?? '')),
      async consume(id) {
        const payload = entries.get(keyOf(id))
        if (payload) payload.consumed = Math.floor(Date.now() / 1000)
      },
      async destroy(id) {
        const grantId = entries.get(keyOf(id))?.grantId
        if (grantId !== undefined) idsByGrant.get(grantId)?.delete(keyOf(id))
        entries.delete(keyOf(id))
      },
      async revokeByGrantId(grantId) {
        for (const key of idsByGrant.get(grantId) ?? []) entries.delete(key)
        idsByGrant.delete(grantId)
      },
    }
  }

  return {
    adapter,
    async findAccount(_ctx, sub) {
      const person = people.get(sub)
      return person && { accountId: sub, claims: () => ({ ...person, preferred_username: sub }) }
    },
    async seed(all, clients) {
      for (const { username: sub } of all) people.set(sub, { sub, name: sub, email: `${sub}@example.com` })
      for (const client of clients) entries.set(`Client:${client.client_id}`, client as AdapterPayload)
    },
  }
}
