import { decodeJwt } from 'jose'
import { type Adapter, errors, Provider } from 'oidc-provider'
import { sha256 } from '../../crypto/vault.ts'
import type { Stores } from '../../store/stores.ts'
import { MINUTE_SECONDS } from '../../time.ts'
import { expiryOf } from './payload.ts'

/** A DPoP proof is accepted for this long before and after its `iat`. */
const DPOP_PROOF_SECONDS = 5 * MINUTE_SECONDS

/**
 * Identifiers of client assertions and DPoP proofs: a second insert is a replay (RFC 7523 §3, RFC 9449 §11.1). Each is
 * kept until no instance accepts it. That instant follows from the client's own claims, so that instances with different
 * clocks agree; the statement refuses an identifier after it, which an instance with a slow clock would still accept.
 */
export function replayAdapter({ replayDetection }: Pick<Stores, 'replayDetection'>): Partial<Adapter> {
  const afterAssertion = new WeakSet<object>()
  return {
    async upsert(id, payload) {
      const { ctx } = Provider
      // The engine checks a request's client assertion first, then its DPoP proof.
      const isAssertion = ctx?.oidc?.params?.client_assertion !== undefined && !afterAssertion.has(ctx)
      if (ctx) afterAssertion.add(ctx)
      // For assertions the engine passes their `exp`; for proofs it passes a time of its own, which is too early.
      const expiresAt = isAssertion ? expiryOf(payload) : endOfProof(ctx?.get('dpop') ?? '')
      if (await replayDetection.consume({ idHash: sha256(id), expiresAt })) return
      throw isAssertion
        ? new errors.InvalidClientAuth('client assertion was used before or has expired')
        : new errors.InvalidDpopProof('DPoP proof was used before or has expired')
    },
    // A look-up would be a second statement and a race: the insert alone decides.
    async find() {},
  }
}

/** The instant from which the engine, which counts whole seconds, refuses a proof. The proof was verified before. */
function endOfProof(proof: string): Date {
  const { iat = 0 } = decodeJwt(proof)
  return new Date((iat + DPOP_PROOF_SECONDS + 1) * 1000)
}
