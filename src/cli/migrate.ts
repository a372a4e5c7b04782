import { join } from 'node:path'
import { Command } from 'commander'
import { createRemoteAdmin, isHeld } from '../admin/socket.ts'
import { parseConfig } from '../config.ts'
import { claimDataFolder, DATABASE_FOLDER } from '../store/data-folder.ts'
import { printResult, type Terminal } from './terminal.ts'
import { createCommandLog } from './with-admin.ts'

export function migrateCommand(terminal: Terminal): Command {
  return new Command('migrate')
    .description('bring the database schema up to date (the server does so when it starts)')
    .option('--plan', 'only say what would run')
    .option('--json', 'print one JSON document')
    .action(async (options: { plan?: boolean; json?: boolean }) => {
      const names = await migrations(terminal, options)
      const verb = options.plan ? 'Would run' : 'Ran'
      printResult(terminal, options, { migrations: names }, () =>
        names.length === 0 ? 'The schema is up to date.' : `${verb}: ${names.join(', ')}`,
      )
    })
}

/**
 * The names of migrations that would run, or ran. A server that holds the embedded database has run them all: what
 * it says is pending stays so until it is replaced.
 */
async function migrations(terminal: Terminal, { plan = false }: { plan?: boolean }): Promise<string[]> {
  const { database, dataDir } = parseConfig(terminal.env)
  const isEmbedded = database.kind === 'embedded'
  if (isEmbedded && (await isHeld(dataDir))) return await createRemoteAdmin(dataDir).schema.pending()

  const { migrate, pendingMigrations } = await import('../store/migrate.ts')
  const { openEmbeddedPostgres, openPostgresForMigrations } = await import('../store/database.ts')
  const folder = isEmbedded ? await claimDataFolder(dataDir, { log: createCommandLog() }) : undefined
  const opened = isEmbedded
    ? openEmbeddedPostgres(join(dataDir, DATABASE_FOLDER))
    : openPostgresForMigrations(database.url)
  try {
    const names = await (plan ? pendingMigrations(opened) : migrate(opened))
    folder?.secure()
    return names
  } finally {
    await opened.destroy()
    await folder?.release()
  }
}
