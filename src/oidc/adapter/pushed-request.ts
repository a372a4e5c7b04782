import { type Adapter, errors } from 'oidc-provider'
import { sha256, type Vault } from '../../crypto/vault.ts'
import type { Stores } from '../../store/stores.ts'
import { expiryOf, openPayload, sealPayload, toStored } from './payload.ts'

const KIND = 'PushedAuthorizationRequest'

type Needs = { stores: Pick<Stores, 'pushedRequests'>; vault: Vault }

/** Pushed authorization requests (RFC 9126), sealed. Each is used once. */
export function pushedRequestAdapter({ stores: { pushedRequests }, vault }: Needs): Partial<Adapter> {
  return {
    async upsert(id, payload) {
      const stored = toStored(payload)
      await pushedRequests.upsert(sha256(id), sealPayload(vault, KIND, id, stored), expiryOf(stored))
    },

    async find(id) {
      const row = await pushedRequests.find(sha256(id))
      const payload = row && openPayload(vault, KIND, id, row)
      return payload && row.consumed ? { ...payload, consumed: true } : payload
    },

    /** Of any number of authorization requests with one `request_uri`, exactly one continues. */
    async consume(id) {
      if (!(await pushedRequests.consume(sha256(id))))
        throw new errors.InvalidRequestUri('request_uri was already used')
    },
  }
}
