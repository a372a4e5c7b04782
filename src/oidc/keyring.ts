import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose'
import { UnsealError, type Vault } from '../crypto/vault.ts'
import type { SigningAlg, SigningKeyStore, StoredSigningKey } from '../store/client/signing-key.ts'

/** The signing algorithms. RS256 first: it is the default for ID tokens in OpenID Connect. */
export const SIGNING_ALGS = ['RS256', 'ES256', 'EdDSA'] as const satisfies SigningAlg[]

const RSA_BITS = 2048
const PURPOSE = 'signing key'

/** The configured master key did not seal this database, or a sealed value was altered. */
export class WrongMasterKeyError extends Error {
  override name = 'WrongMasterKeyError'
  constructor(cause: unknown) {
    super(
      'ENCRYPTION_KEY does not open the signing keys in this database. Start with the key they were sealed under; after a change, list the new key first and the old one behind it. If the key is right, a signing key was altered in the database.',
      { cause },
    )
  }
}

export type Keyring = ReturnType<typeof createKeyring>

export function createKeyring({ keys, vault }: { keys: SigningKeyStore; vault: Vault }) {
  return {
    /**
     * Loads the private JWKS, and generates a key for each algorithm that has none. Instances that start together get
     * the same keys.
     *
     * @throws {WrongMasterKeyError}
     */
    async load(): Promise<{ keys: JWK[] }> {
      let stored = await keys.list()
      const missing = SIGNING_ALGS.filter(
        (alg) => !stored.some((key) => key.alg === alg && key.state === 'current'),
      )
      if (missing.length > 0) {
        await Promise.all(missing.map(async (alg) => keys.insertCurrentUnlessPresent(await generate(alg))))
        stored = await keys.list()
      }
      // The engine signs with the first key that fits.
      const order = { current: 0, next: 1, retired: 2 }
      const sorted = stored.toSorted((a, b) => order[a.state] - order[b.state])
      return { keys: sorted.map(openKey) }
    },

    list: () => keys.list(),
  }

  async function generate(alg: SigningAlg) {
    const { publicKey, privateKey } = await generateKeyPair(alg, {
      extractable: true,
      modulusLength: RSA_BITS,
    })
    const publicJwk = await exportJWK(publicKey)
    const kid = await calculateJwkThumbprint(publicJwk)
    const common = { kid, alg, use: 'sig' }
    const privateJwk = { ...(await exportJWK(privateKey)), ...common }
    return {
      kid,
      alg,
      publicJwk: { ...publicJwk, ...common },
      sealedPrivateJwk: vault.seal(JSON.stringify(privateJwk), PURPOSE, [kid]),
    }
  }

  function openKey({ kid, sealedPrivateJwk }: StoredSigningKey): JWK {
    try {
      const jwk: JWK = JSON.parse(vault.openUnbound(sealedPrivateJwk, PURPOSE, [kid]))
      // A key in the old format is not bound to its row; its own `kid` says which row it belongs to.
      if (jwk.kid !== kid) throw new UnsealError(`the row of the key ${kid} holds another key`)
      return jwk
    } catch (error) {
      throw error instanceof UnsealError ? new WrongMasterKeyError(error) : error
    }
  }
}
