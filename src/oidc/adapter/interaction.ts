import { type Adapter, errors } from 'oidc-provider'
import { sha256, type Vault } from '../../crypto/vault.ts'
import type { Stores } from '../../store/stores.ts'
import { expiryOf, openPayload, sealPayload, toStored } from './payload.ts'

const KIND = 'Interaction'

type Needs = { stores: Pick<Stores, 'interactions'>; vault: Vault }

/**
 * Interactions: authorization requests that wait for a person. They are sealed, because they hold session identifiers
 * and device codes. Of several answers to one page the first counts.
 */
export function interactionAdapter({ stores: { interactions }, vault }: Needs): Partial<Adapter> {
  return {
    async upsert(id, payload) {
      const stored = toStored(payload)
      const sealed = sealPayload(vault, KIND, id, stored)
      const isAnswer = payload.result !== undefined
      if (!(await interactions.upsert(sha256(id), sealed, expiryOf(stored), { isAnswer })))
        throw alreadyFinished()
    },

    async find(id) {
      const row = await interactions.find(sha256(id))
      return row && !row.consumed ? openPayload(vault, KIND, id, row) : undefined
    },

    /** The engine destroys an interaction when it resumes. The spent row stays, so that a second form cannot revive it. */
    async destroy(id) {
      if (!(await interactions.consume(sha256(id)))) throw alreadyFinished()
    },
  }
}

function alreadyFinished(): Error {
  return new errors.SessionNotFound('the interaction was finished already')
}
