import { chmodSync, lstatSync, mkdirSync, readdirSync, realpathSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'

const PRIVATE_FOLDER = 0o700
/** Permission bits of the group and of others. */
const FOREIGN_BITS = 0o077
const FOREIGN_READ_BITS = 0o044
const STICKY_BIT = 0o1000
const ROOT = 0

/** The data folder is accessible to other users, and Sallyport must not change that. */
export class DataFolderRefusedError extends Error {
  override name = 'DataFolderRefusedError'
}

/** Names in the data folder. Only their beginning counts: temporary files have a suffix. */
const OWN_ENTRIES = /^(postgres|outbox|encryption\.key(\..+)?|sallyport\.(lock|sock(\..+)?))$/
/** Present at the top of a volume. */
const IGNORED_ENTRIES = new Set(['lost+found'])

/**
 * Creates the data folder, or removes other users' permissions from an existing one.
 *
 * @returns its permissions before, when other users had some.
 * @throws {DataFolderRefusedError} when it belongs to another user (root would leave files that this user cannot open),
 *   or is open to others and also holds their files, as /tmp does.
 */
export function secureFolder(folder: string): { modeBefore: number } | undefined {
  mkdirSync(folder, { recursive: true, mode: PRIVATE_FOLDER })
  refuseForeignFolder(folder)
  const { mode } = statSync(folder)
  if (userId() === undefined || (mode & FOREIGN_BITS) === 0) return undefined
  const others = readdirSync(folder).filter((name) => !OWN_ENTRIES.test(name) && !IGNORED_ENTRIES.has(name))
  if (others.length > 0 || (mode & STICKY_BIT) !== 0)
    throw new DataFolderRefusedError(
      `DATA_DIR ${folder} is open to other users (mode ${octal(mode)}) and holds files that are not Sallyport's. ` +
        `Set DATA_DIR to a folder of its own, such as ${join(folder, 'sallyport')}.`,
    )
  chmodSync(folder, PRIVATE_FOLDER)
  return { modeBefore: mode }
}

/**
 * @throws {DataFolderRefusedError} when the folder, or the link that names it, belongs to another user. A missing
 *   folder passes.
 */
export function refuseForeignFolder(folder: string): void {
  const entry = lstatSync(folder, { throwIfNoEntry: false })
  if (entry?.isSymbolicLink()) refuseForeign(folder, entry)
  const target = statSync(folder, { throwIfNoEntry: false })
  if (target) refuseForeign(folder, target)
}

/** @throws {DataFolderRefusedError} when it exists and belongs to another user. */
export function refuseForeignFile(path: string): void {
  const entry = lstatSync(path, { throwIfNoEntry: false })
  if (entry) refuseForeign(path, entry)
}

/**
 * Checks a file that is opened before {@link secureContents} runs: other users may have planted it while the folder was
 * open to them.
 *
 * @throws {DataFolderRefusedError} when it is a symbolic link, or belongs to another user.
 */
export function refusePlantedFile(path: string): void {
  refuseForeignFile(path)
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink())
    throw new DataFolderRefusedError(`${path} is a link, and must be a file in DATA_DIR. Delete it.`)
}

/**
 * Removes other users' permissions from everything that Sallyport keeps in the folder. PGlite creates files with modes
 * 0666 and 0644 despite the umask.
 *
 * @returns how many entries had some, and whether the generated key was readable.
 * @throws {DataFolderRefusedError} when an entry belongs to another user.
 */
export function secureContents(folder: string): { entries: number; wasKeyReadable: boolean } {
  const found = { entries: 0, wasKeyReadable: false }
  for (const name of readdirSync(folder)) {
    if (!OWN_ENTRIES.test(name)) continue
    const path = join(folder, name)
    if (name.startsWith('encryption.key') && (lstatSync(path).mode & FOREIGN_READ_BITS) !== 0)
      found.wasKeyReadable = true
    found.entries += secureTree(followFolder(path))
  }
  return found
}

/** Resolves a link: the database may be on another volume. */
function followFolder(path: string): string {
  const entry = lstatSync(path)
  refuseForeign(path, entry)
  return entry.isSymbolicLink() && statSync(path, { throwIfNoEntry: false })?.isDirectory()
    ? realpathSync(path)
    : path
}

function secureTree(path: string): number {
  const entry = lstatSync(path, { throwIfNoEntry: false })
  if (!entry) return 0
  refuseForeign(path, entry)
  // The operator chose the link's target, such as a mounted secret, and its permissions.
  if (userId() === undefined || entry.isSymbolicLink()) return 0
  let count = 0
  if ((entry.mode & FOREIGN_BITS) !== 0) {
    chmodSync(path, entry.mode & 0o700)
    count = 1
  }
  if (!entry.isDirectory()) return count
  return readdirSync(path).reduce((sum, name) => sum + secureTree(join(path, name)), count)
}

function refuseForeign(path: string, entry: Stats): void {
  const us = userId()
  if (us === undefined || entry.uid === us) return
  // A link's owner controls its target; root is trusted.
  if (entry.isSymbolicLink() && entry.uid === ROOT) return
  throw new DataFolderRefusedError(
    `${path} belongs to user ${entry.uid}, and this process runs as user ${us}. ` +
      `Run it as user ${entry.uid}, have user ${us} own all of DATA_DIR (chown -R), or set DATA_DIR to a folder that does not exist yet.`,
  )
}

/** Undefined on Windows, where files have no numeric owner. */
function userId(): number | undefined {
  return process.geteuid?.()
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0')
}
