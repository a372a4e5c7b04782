import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hash,
  hkdfSync,
  randomBytes,
} from 'node:crypto'

/**
 * Sealing: values that must be readable again (device codes, private keys, pending requests) are stored under
 * AES-256-GCM with a key derived from the master key. Several master keys form a ring: the newest seals, all open.
 *
 * A sealed value is `version (1) | key id (4) | nonce (12) | tag (16) | ciphertext`. Its additional data are the
 * purpose and the identity of its row: copied to another row or column, it does not open.
 */
export type Vault = ReturnType<typeof createVault>

/** The primary key of the row that holds a sealed value, or its equivalent for a cookie. */
export type Identity = readonly (string | Uint8Array)[]

const VERSION = 2
/** The previous format, bound to the purpose only. Only long-lived values are still opened from it. */
const UNBOUND_VERSION = 1
const KEY_ID_BYTES = 4
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEADER_BYTES = 1 + KEY_ID_BYTES
const SECRET_BYTES = 32

/** A sealed value does not open: the master key was changed, or the value was altered or moved. */
export class UnsealError extends Error {
  override name = 'UnsealError'
}

/** @param masterKeys 32 bytes each, newest first. */
export function createVault(masterKeys: readonly Buffer[]) {
  const ring = masterKeys.map((masterKey) => {
    const key = derive(masterKey, 'seal')
    // As an object: node would make one of the bytes at every use.
    return { id: sha256(key).subarray(0, KEY_ID_BYTES), key: createSecretKey(key), masterKey }
  })
  const fingerprintKeys = new Map<string, Buffer>()
  const [newest] = ring
  if (!newest) throw new Error('a vault needs at least one master key')

  return {
    /** @param purpose binds the value to its use, and `identity` to its row: it opens only for both. */
    seal(clear: string, purpose: string, identity: Identity): Buffer {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', newest.key, nonce).setAAD(boundTo(purpose, identity))
      const body = Buffer.concat([cipher.update(clear, 'utf8'), cipher.final()])
      return Buffer.concat([Buffer.of(VERSION), newest.id, nonce, cipher.getAuthTag(), body])
    },

    /** @throws {UnsealError} */
    open: (sealed: Uint8Array, purpose: string, identity: Identity): string =>
      open(sealed, VERSION, boundTo(purpose, identity)),

    /** Opens a value from a row or a cookie. @returns undefined when it does not open. */
    find(sealed: Uint8Array, purpose: string, identity: Identity): string | undefined {
      try {
        return open(sealed, VERSION, boundTo(purpose, identity))
      } catch (error) {
        if (error instanceof UnsealError) return undefined
        throw error
      }
    },

    /**
     * Opens a value that may be in the previous format. That format is not bound to a row: the caller checks that the
     * value belongs to it.
     *
     * @throws {UnsealError}
     */
    openUnbound: (sealed: Uint8Array, purpose: string, identity: Identity): string =>
      sealed[0] === UNBOUND_VERSION
        ? open(sealed, UNBOUND_VERSION, Buffer.from(purpose))
        : open(sealed, VERSION, boundTo(purpose, identity)),

    /** Keys for another use (cookie signatures, CSRF tokens), newest first; stable for a given master key. */
    deriveKeys(purpose: string): Buffer[] {
      return ring.map(({ masterKey }) => derive(masterKey, purpose))
    },

    /**
     * Look-up value for a secret too short to be hashed plainly (user codes): nobody without the master key can
     * try them all. Under the newest key only: such values live for minutes.
     */
    fingerprint(value: string, purpose: string): Buffer {
      // Deriving takes several times as long as the fingerprint itself.
      const key = fingerprintKeys.get(purpose) ?? derive(newest.masterKey, purpose)
      fingerprintKeys.set(purpose, key)
      return createHmac('sha256', key).update(value).digest()
    },
  }

  function open(sealed: Uint8Array, version: number, additionalData: Buffer): string {
    const bytes = Buffer.from(sealed)
    const id = bytes.subarray(1, HEADER_BYTES)
    const entry = ring.find((candidate) => candidate.id.equals(id))
    if (bytes[0] !== version || !entry)
      throw new UnsealError('sealed under a master key that is not in ENCRYPTION_KEY, or in another format')
    const nonce = bytes.subarray(HEADER_BYTES, HEADER_BYTES + NONCE_BYTES)
    const tag = bytes.subarray(HEADER_BYTES + NONCE_BYTES, HEADER_BYTES + NONCE_BYTES + TAG_BYTES)
    try {
      const decipher = createDecipheriv('aes-256-gcm', entry.key, nonce, { authTagLength: TAG_BYTES })
        .setAAD(additionalData)
        .setAuthTag(tag)
      const body = bytes.subarray(HEADER_BYTES + NONCE_BYTES + TAG_BYTES)
      return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8')
    } catch (cause) {
      throw new UnsealError('a sealed value was altered, or belongs to another purpose or row', { cause })
    }
  }
}

/** JSON separates the parts unambiguously; it begins with a bracket, as no purpose of the previous format does. */
function boundTo(purpose: string, identity: Identity): Buffer {
  const parts = identity.map((part) =>
    typeof part === 'string' ? part : [Buffer.from(part).toString('base64url')],
  )
  return Buffer.from(JSON.stringify([purpose, ...parts]))
}

/** SHA-256, for secrets of 256 random bits: no salt is needed, nothing can be guessed. */
export function sha256(value: string | Uint8Array): Buffer {
  return hash('sha256', value, 'buffer')
}

/** A new secret of 256 random bits, as 43 URL-safe characters. */
export function randomSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url')
}

export function randomMasterKey(): Buffer {
  return randomBytes(SECRET_BYTES)
}

function derive(masterKey: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', masterKey, Buffer.alloc(0), `sallyport ${purpose}`, SECRET_BYTES))
}
