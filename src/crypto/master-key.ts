import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import { DATABASE_FOLDER } from '../data-folder/data-folder.ts'
import { randomMasterKey } from './vault.ts'

const FILE_NAME = 'encryption.key'
const MASTER_KEY_BYTES = 32

/** The database is there, its generated key is not. */
export class MissingKeyError extends Error {
  override name = 'MissingKeyError'
}

/**
 * The keys that seal secrets at rest, newest first. On localhost with the embedded database one is made and kept in
 * the data folder, for its owner's eyes only.
 *
 * @throws {MissingKeyError} rather than make a key that opens nothing; also when the file is there but holds no key.
 */
export async function loadMasterKeys({
  masterKeys,
  dataDir,
}: Pick<Config, 'masterKeys' | 'dataDir'>): Promise<readonly Buffer[]> {
  if (masterKeys) return masterKeys
  const path = join(dataDir, FILE_NAME)
  const existing = await readKey(path)
  if (existing) return [existing]
  if (existsSync(join(dataDir, DATABASE_FOLDER))) {
    throw new MissingKeyError(
      `${path} is missing, and the database beside it is sealed under it. Put it back.`,
    )
  }

  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  // Written aside and linked: two processes that start together agree, and a crash leaves no half a key.
  const aside = `${path}.${randomUUID()}`
  await writeFile(aside, `${randomMasterKey().toString('base64')}\n`, { mode: 0o600, flush: true })
  await link(aside, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await unlink(aside)
  const made = await readKey(path)
  if (!made) throw new Error(`${path} vanished while it was made`)
  return [made]
}

async function readKey(path: string): Promise<Buffer | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const key = Buffer.from(text, 'base64')
  if (key.length !== MASTER_KEY_BYTES)
    throw new Error(`${path} holds no master key: 32 bytes in base64 are expected`)
  return key
}
