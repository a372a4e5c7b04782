import { type Adapter, errors, Provider } from 'oidc-provider'
import type { ArtifactStore } from '../../store/artifact.ts'
import { sha256 } from '../../vault.ts'
import { DPOP_PROOF_SECONDS } from '../policy.ts'
import { expiryOf, toStored } from './payload.ts'

/** Spent assertion and proof identifiers: storing one twice is the replay (RFC 7523 §3, RFC 9449 §11.1). */
export function replayAdapter({ artifacts }: { artifacts: ArtifactStore }): Partial<Adapter> {
  const afterAssertion = new WeakSet<object>()
  return {
    async upsert(id, payload) {
      const { ctx } = Provider
      // A request's client assertion is looked at first; what comes after it is the DPoP proof.
      const isAssertion = ctx?.oidc?.params?.client_assertion !== undefined && !afterAssertion.has(ctx)
      if (ctx) afterAssertion.add(ctx)
      const expiresAt = expiryOf(toStored(payload))
      // The engine forgets a proof that is ahead of our clock while it would still accept it.
      if (!isAssertion) expiresAt.setSeconds(expiresAt.getSeconds() + DPOP_PROOF_SECONDS)
      if (await artifacts.insertOnce({ kind: 'ReplayDetection', idHash: sha256(id), expiresAt })) return
      throw isAssertion
        ? new errors.InvalidClientAuth('client assertion was used before')
        : new errors.InvalidDpopProof('DPoP proof was used before')
    },
    // Looking first would be a second statement and a race; the insert alone decides.
    async find() {},
  }
}
