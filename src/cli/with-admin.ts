import { pino } from 'pino'
import type { Admin } from '../admin/admin.ts'
import { createRemoteAdmin, isHeld } from '../admin/socket.ts'
import { parseConfig } from '../config.ts'
import { createLog } from '../log.ts'
import { DataFolderInUseError } from '../store/data-folder.ts'
import type { Terminal } from './terminal.ts'

/**
 * Runs an operator's command on the installation that the environment names: on Postgres directly, on the embedded
 * database through the process that holds it, or directly when none does.
 */
export async function withAdmin<T>(terminal: Terminal, work: (admin: Admin) => Promise<T>): Promise<T> {
  const config = parseConfig(terminal.env)
  const isEmbedded = config.database.kind === 'embedded'
  if (isEmbedded && (await isHeld(config.dataDir))) return await work(createRemoteAdmin(config.dataDir))

  // The engine and the databases are loaded only when no server does the work.
  const { openInstallation } = await import('../installation.ts')
  const log = createLog({ level: 'warn', format: 'json' }, pino.destination(2))
  try {
    const installation = await openInstallation(config, { log })
    try {
      return await work(installation.admin)
    } finally {
      await installation.close()
    }
  } catch (error) {
    // Another process took the folder between the question and the claim.
    if (error instanceof DataFolderInUseError) return await work(createRemoteAdmin(config.dataDir))
    throw error
  }
}
