import { join } from 'node:path'
import { Command } from 'commander'
import { parseConfig } from '../config.ts'
import { DATABASE_FOLDER } from '../server.ts'
import { claimDataFolder } from '../store/data-folder.ts'
import { openEmbeddedPostgres, openPostgresForMigrations } from '../store/database.ts'
import { migrate, pendingMigrations } from '../store/migrate.ts'
import { printResult, type Terminal } from './terminal.ts'

export function migrateCommand(terminal: Terminal): Command {
  return new Command('migrate')
    .description('bring the database schema up to date (the server does so when it starts)')
    .option('--plan', 'only say what would run')
    .option('--json', 'print one JSON document')
    .action(async (options: { plan?: boolean; json?: boolean }) => {
      const { database, dataDir } = parseConfig(terminal.env)
      const folder = database.kind === 'embedded' ? await claimDataFolder(dataDir) : undefined
      const opened =
        database.kind === 'embedded'
          ? openEmbeddedPostgres(join(dataDir, DATABASE_FOLDER))
          : openPostgresForMigrations(database.url)
      try {
        const migrations = options.plan ? await pendingMigrations(opened) : await migrate(opened)
        const verb = options.plan ? 'Would run' : 'Ran'
        printResult(terminal, options, { migrations }, () =>
          migrations.length === 0 ? 'The schema is up to date.' : `${verb}: ${migrations.join(', ')}`,
        )
      } finally {
        await opened.destroy()
        await folder?.release()
      }
    })
}
