import { join } from 'node:path'
import { Command } from 'commander'
import { createRemoteAdmin, isHeld } from '../admin/socket.ts'
import { parseConfig } from '../config.ts'
import { DATABASE_FOLDER } from '../server.ts'
import { claimDataFolder } from '../store/data-folder.ts'
import { type Database, openEmbeddedPostgres, openPostgresForMigrations } from '../store/database.ts'
import { migrate, pendingMigrations } from '../store/migrate.ts'
import { printResult, type Terminal } from './terminal.ts'

export function migrateCommand(terminal: Terminal): Command {
  return new Command('migrate')
    .description('bring the database schema up to date (the server does so when it starts)')
    .option('--plan', 'only say what would run')
    .option('--json', 'print one JSON document')
    .action(async (options: { plan?: boolean; json?: boolean }) => {
      const migrations = options.plan ? await plan(terminal) : await run(terminal)
      const verb = options.plan ? 'Would run' : 'Ran'
      printResult(terminal, options, { migrations }, () =>
        migrations.length === 0 ? 'The schema is up to date.' : `${verb}: ${migrations.join(', ')}`,
      )
    })
}

const plan = (terminal: Terminal): Promise<string[]> => withDatabase(terminal, pendingMigrations)
const run = (terminal: Terminal): Promise<string[]> => withDatabase(terminal, migrate)

/** A server that holds the embedded database has migrated it: whatever it says is pending, only its end changes. */
async function withDatabase(
  terminal: Terminal,
  work: (database: Database) => Promise<string[]>,
): Promise<string[]> {
  const { database, dataDir } = parseConfig(terminal.env)
  if (database.kind === 'embedded' && (await isHeld(dataDir)))
    return await createRemoteAdmin(dataDir).schema.pending()
  const folder = database.kind === 'embedded' ? await claimDataFolder(dataDir) : undefined
  const opened =
    database.kind === 'embedded'
      ? openEmbeddedPostgres(join(dataDir, DATABASE_FOLDER))
      : openPostgresForMigrations(database.url)
  try {
    return await work(opened)
  } finally {
    await opened.destroy()
    await folder?.release()
  }
}
