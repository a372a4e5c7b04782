import { type Adapter, errors } from 'oidc-provider'
import { sha256, type Vault } from '../../crypto/vault.ts'
import type { ArtifactKind, ArtifactStore } from '../../store/token/artifact.ts'
import { expiryOf, fromStored, toStored } from './payload.ts'

/**
 * Interactions and pushed requests are sealed whole: they carry session ids, device codes and whatever the app sent.
 * Both are finished once.
 */
export function artifactAdapter(
  kind: ArtifactKind,
  { artifacts, vault }: { artifacts: ArtifactStore; vault: Vault },
): Partial<Adapter> {
  const consume = async (id: string) => {
    if (!(await artifacts.consume(kind, sha256(id)))) throw alreadyFinished(kind)
  }
  return {
    async upsert(id, payload) {
      const idHash = sha256(id)
      const stored = toStored(payload)
      const sealed = vault.seal(JSON.stringify(stored), kind, [idHash])
      const isAnswer = kind === 'Interaction' && payload.result !== undefined
      if (!(await artifacts.upsert(kind, idHash, sealed, expiryOf(stored), { isAnswer })))
        throw alreadyFinished(kind)
    },
    async find(id) {
      const idHash = sha256(id)
      const row = await artifacts.find(kind, idHash)
      if (!row || (row.consumed && kind === 'Interaction')) return undefined
      const opened = vault.tryOpen(row.sealedPayload, kind, [idHash])
      if (opened === undefined) return undefined
      const payload = fromStored(JSON.parse(opened), row)
      return { ...payload, jti: id, ...(row.consumed ? { consumed: true } : {}) }
    },
    consume,
    // Only resuming destroys an interaction. Its row stays, spent, so that a second form cannot bring it back.
    destroy: consume,
  }
}

function alreadyFinished(kind: ArtifactKind): Error {
  return kind === 'Interaction'
    ? new errors.SessionNotFound('the interaction was finished already')
    : new errors.InvalidRequestUri('request_uri was already used')
}
