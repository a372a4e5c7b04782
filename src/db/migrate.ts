import { sql } from 'kysely'
import { type Migration, type MigrationProvider, Migrator } from 'kysely/migration'
import type { Database } from './connections.ts'
import { DatabaseConnectionError, isUnavailable } from './database-error.ts'
import { readMigrationFiles } from './migration-files.ts'
import { findDifference, findIncompatibility, type SchemaDifference } from './schema-compatibility.ts'

/** The schema could not be brought up to date; the database is as it was. */
export class MigrationError extends Error {
  override name = 'MigrationError'
}

export type MigrationReport = Readonly<{
  /** Migrations that ran, or that a plan would run. */
  names: readonly string[]
  /** Migrations of a newer version whose schema this one can serve; then no migration runs. */
  newer: readonly string[]
}>

/**
 * Brings the schema up to date under a lock: instances that start together run one after another.
 *
 * @throws {MigrationError} also when a newer version changed the schema so that this one cannot serve it.
 */
export async function migrate(database: Database): Promise<MigrationReport> {
  const { error, results = [] } = await createMigrator(database).migrateToLatest()
  if (!error) return { names: results.map(({ migrationName }) => migrationName), newer: [] }
  if (isUnavailable(error) || error instanceof DatabaseConnectionError) throw error
  // The migrator refused unknown migrations under its lock, so the difference is final.
  const difference = await findDifference(database)
  if (difference.unknown.length > 0) return await acceptNewer(database, difference)
  throw explain(error, results.find(({ status }) => status === 'Error')?.migrationName)
}

/**
 * Returns what {@link migrate} would do.
 *
 * @throws {MigrationError} when it would refuse the schema.
 */
export async function planMigrations(database: Database): Promise<MigrationReport> {
  const difference = await findDifference(database)
  if (difference.unknown.length > 0) return await acceptNewer(database, difference)
  return { names: difference.pending, newer: [] }
}

async function acceptNewer(database: Database, difference: SchemaDifference): Promise<MigrationReport> {
  const reason = await findIncompatibility(database, difference)
  if (reason !== undefined) throw new MigrationError(reason)
  return { names: [], newer: difference.unknown }
}

function createMigrator(database: Database): Migrator {
  return new Migrator({
    db: database,
    provider: sqlFiles,
    migrationTableName: 'schema_migration',
    migrationLockTableName: 'schema_migration_lock',
  })
}

const sqlFiles: MigrationProvider = {
  async getMigrations() {
    const migrations: Record<string, Migration> = {}
    for (const { name, statements } of await readMigrationFiles()) {
      migrations[name] = {
        async up(db) {
          for (const statement of statements) await sql.raw(statement).execute(db)
        },
      }
    }
    return migrations
  },
}

function explain(error: unknown, failed: string | undefined): MigrationError {
  const message = error instanceof Error ? error.message : String(error)
  return new MigrationError(failed ? `Migration ${failed} failed and was rolled back: ${message}` : message, {
    cause: error,
  })
}
