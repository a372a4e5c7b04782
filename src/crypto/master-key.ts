import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DATABASE_FOLDER } from '../data-folder/data-folder.ts'
import { randomMasterKey } from './vault.ts'

const FILE_NAME = 'encryption.key'
const MASTER_KEY_BYTES = 32

/** The database exists, and its generated key does not. */
export class MissingKeyError extends Error {
  override name = 'MissingKeyError'
}

type Needs = { masterKeys: readonly Buffer[] | undefined; dataDir: string }

/**
 * Returns the keys that seal secrets at rest, newest first. On localhost with the embedded database, generates one and
 * keeps it in the data folder, readable by its owner only.
 *
 * @throws {MissingKeyError} when a database exists without its key: a new key would open nothing.
 */
export async function loadMasterKeys({ masterKeys, dataDir }: Needs): Promise<readonly Buffer[]> {
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
  // Linking a complete file makes the first of two starting processes win, and leaves no half-written key.
  const temporary = `${path}.${randomUUID()}`
  await writeFile(temporary, `${randomMasterKey().toString('base64')}\n`, { mode: 0o600, flush: true })
  await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await unlink(temporary)
  const made = await readKey(path)
  if (!made) throw new Error(`${path} was deleted while it was created`)
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
