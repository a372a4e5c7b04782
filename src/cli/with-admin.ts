import { pino } from 'pino'
import type { Admin } from '../admin/admin.ts'
import { createRemoteAdmin, HolderGoneError, isHeld } from '../admin/socket.ts'
import { type Config, parseConfig } from '../config/config.ts'
import { DataFolderInUseError } from '../data-folder/data-folder.ts'
import { createLog, type Log } from '../log.ts'
import type { Terminal } from './output/terminal.ts'

const MOST_ATTEMPTS = 20

/**
 * Runs an operation on the installation that the environment names: on Postgres directly; on the embedded database
 * through the process that holds it, or directly when no process does.
 */
export async function withAdmin<T>(terminal: Terminal, work: (admin: Admin) => Promise<T>): Promise<T> {
  const config = parseConfig(terminal.env)
  for (let attempt = 1; ; attempt++) {
    const isElsewhere = config.database.kind === 'embedded' && (await isHeld(config.dataDir))
    try {
      return isElsewhere
        ? await work(createRemoteAdmin(config.dataDir))
        : await withInstallation(config, work)
    } catch (error) {
      // Another process took or released the folder between the check and the operation.
      const hasHolderChanged = error instanceof DataFolderInUseError || error instanceof HolderGoneError
      if (!hasHolderChanged || attempt >= MOST_ATTEMPTS) throw error
    }
  }
}

/**
 * The same for a long-running command. It never holds the embedded database, so that a server can start: without a server
 * an operation rejects with HolderGoneError.
 */
export async function withLastingAdmin<T>(
  terminal: Terminal,
  work: (admin: Admin) => Promise<T>,
): Promise<T> {
  const config = parseConfig(terminal.env)
  return config.database.kind === 'embedded'
    ? await work(createRemoteAdmin(config.dataDir))
    : await withInstallation(config, work)
}

/** The log of a command: warnings only, on stderr. */
export function createCommandLog(): Log {
  return createLog({ level: 'warn', format: 'json' }, pino.destination(2))
}

async function withInstallation<T>(config: Config, work: (admin: Admin) => Promise<T>): Promise<T> {
  const log = createCommandLog()
  // Loaded only when no server does the work.
  const { openInstallation } = await import('../app/installation.ts')
  const installation = await openInstallation(config, { log })
  try {
    return await work(installation.admin)
  } finally {
    await installation.close()
  }
}
