/**
 * Room crypto/: the vault seals values and derives keys from the master keys, which `master-key.ts` loads. Secrets of
 * 256 random bits are stored as SHA-256.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hash,
  hkdfSync,
  randomBytes,
} from 'node:crypto'

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

/**
 * Seals values that must be readable again (device codes, private keys, pending requests): AES-256-GCM, under a key
 * derived from the newest master key. Every master key opens.
 *
 * A sealed value is `version (1) | key id (4) | nonce (12) | tag (16) | ciphertext`. Its additional data are the
 * purpose and the identity of its row, so a value that is copied to another row or column does not open.
 *
 * @param masterKeys 32 bytes each, newest first.
 */
export function createVault(masterKeys: readonly Buffer[]) {
  const ring = masterKeys.map((masterKey) => {
    const key = derive(masterKey, 'seal')
    // Node would convert raw bytes to a key object at every use.
    return { id: sha256(key).subarray(0, KEY_ID_BYTES), key: createSecretKey(key), masterKey }
  })
  const hashKeys = new Map<string, Buffer>()
  const [newest] = ring
  if (!newest) throw new Error('a vault needs at least one master key')

  return {
    /** Seals a value for one purpose and one row; it opens only with both. */
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
    tryOpen(sealed: Uint8Array, purpose: string, identity: Identity): string | undefined {
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
     * HMAC-SHA-256 of a secret that is too short for a plain hash, such as a user code: without the master key it
     * cannot be found by brute force. Uses the newest key only, because such values live for minutes.
     */
    keyedHash(value: string, purpose: string): Buffer {
      // Key derivation takes several times as long as the HMAC.
      const key = hashKeys.get(purpose) ?? derive(newest.masterKey, purpose)
      hashKeys.set(purpose, key)
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

/** The additional data. JSON separates the parts unambiguously, and starts with a bracket, unlike the previous format. */
function boundTo(purpose: string, identity: Identity): Buffer {
  const parts = identity.map((part) =>
    typeof part === 'string' ? part : [Buffer.from(part).toString('base64url')],
  )
  return Buffer.from(JSON.stringify([purpose, ...parts]))
}

/** SHA-256. For secrets of 256 random bits only: those need no salt and no slow hash. */
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
