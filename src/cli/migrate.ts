import { join } from 'node:path'
import { Command } from 'commander'
import { createRemoteAdmin, isHeld } from '../admin/socket.ts'
import { parseConfig } from '../config/config.ts'
import { claimDataFolder, DATABASE_FOLDER } from '../data-folder/data-folder.ts'
import type { MigrationReport } from '../db/migrate.ts'
import { printResult, type Terminal } from './output/terminal.ts'
import { createCommandLog } from './with-admin.ts'

export function migrateCommand(terminal: Terminal): Command {
  return new Command('migrate')
    .description('migrate the database schema (the server does so when it starts)')
    .option('--plan', 'only list the migrations that would run')
    .option('--json', 'print one JSON document')
    .action(async ({ plan = false, ...options }: { plan?: boolean; json?: boolean }) => {
      const { names, newer } = await migrateOrPlan(terminal, plan)
      const document = { migrations: names, ...(newer.length > 0 ? { newer } : {}) }
      printResult(terminal, options, document, () => {
        if (newer.length > 0)
          return `A newer version ran ${newer.join(', ')}. This version can serve that schema; nothing to run.`
        return names.length === 0
          ? 'The schema is up to date.'
          : `${plan ? 'Would run' : 'Ran'}: ${names.join(', ')}`
      })
    })
}

/**
 * A server that holds the embedded database has run every migration it knows. Migrations that it reports as pending run
 * when the server is replaced.
 */
async function migrateOrPlan(terminal: Terminal, plan: boolean): Promise<MigrationReport> {
  const { database, dataDir } = parseConfig(terminal.env)
  const isEmbedded = database.kind === 'embedded'
  if (isEmbedded && (await isHeld(dataDir)))
    return { names: await createRemoteAdmin(dataDir).schema.pending(), newer: [] }

  const { migrate, planMigrations } = await import('../db/migrate.ts')
  const { openEmbeddedPostgres, openPostgresForMigrations } = await import('../db/connections.ts')
  const folder = isEmbedded ? await claimDataFolder(dataDir, { log: createCommandLog() }) : undefined
  const opened = isEmbedded
    ? openEmbeddedPostgres(join(dataDir, DATABASE_FOLDER))
    : openPostgresForMigrations(database.url)
  try {
    const report = await (plan ? planMigrations(opened) : migrate(opened))
    folder?.secure()
    return report
  } finally {
    await opened.destroy()
    await folder?.release()
  }
}
