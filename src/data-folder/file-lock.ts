import { chmodSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

/** SQLITE_BUSY, https://sqlite.org/rescode.html#busy */
const BUSY = 5

export type FileLock = Readonly<{ release: () => void }>

/**
 * Takes a kernel lock (fcntl) on a file, which is created when missing. It is exclusive over processes, containers that
 * share the volume, and calls in this process, and ends with the process, however that dies.
 *
 * Node has no call for such a lock, but its built-in SQLite takes one for an exclusive transaction. Two rules follow
 * from fcntl: the file is never deleted, or another process would lock a new file of the same name; and this process
 * opens it nowhere else, because closing any descriptor of the file would drop the lock.
 *
 * @returns undefined when the lock is held, or when several calls collided: the caller tries again.
 */
export function tryLock(path: string): FileLock | undefined {
  const database = new DatabaseSync(path)
  try {
    // No journal file: the transaction writes nothing.
    database.exec('pragma journal_mode = memory')
    database.exec('begin exclusive')
    chmodSync(path, 0o600)
    return { release: () => database.close() }
  } catch (error) {
    database.close()
    if (isBusy(error)) return undefined
    throw error
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === BUSY
}
