import { createCipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'

/** Seals a value in the format before values were bound to their rows: only the purpose is authenticated. */
export function sealLegacy(masterKey: Buffer, clear: string, purpose: string): Buffer {
  const key = Buffer.from(hkdfSync('sha256', masterKey, Buffer.alloc(0), 'sallyport seal', 32))
  const keyId = createHash('sha256').update(key).digest().subarray(0, 4)
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(purpose))
  const body = Buffer.concat([cipher.update(clear, 'utf8'), cipher.final()])
  return Buffer.concat([Buffer.of(1), keyId, nonce, cipher.getAuthTag(), body])
}
