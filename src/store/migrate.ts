import { readdir, readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import { type Migration, type MigrationProvider, Migrator } from 'kysely/migration'
import type { Database } from './database.ts'
import { DatabaseConnectionError, isUnavailable } from './fault.ts'

const MIGRATIONS_FOLDER = new URL('../../migrations/', import.meta.url)

/** The schema could not be brought up to date; the database is as it was. */
export class MigrationError extends Error {
  override name = 'MigrationError'
}

/**
 * Brings the schema up to date, under a lock: instances that start together take turns.
 *
 * @returns the names of the migrations that ran.
 * @throws {MigrationError} also when the schema is newer than this version knows.
 */
export async function migrate(database: Database): Promise<string[]> {
  const { error, results = [] } = await createMigrator(database).migrateToLatest()
  if (isUnavailable(error) || error instanceof DatabaseConnectionError) throw error
  if (error) throw explain(error, results.find(({ status }) => status === 'Error')?.migrationName)
  return results.map(({ migrationName }) => migrationName)
}

/** @returns the names of the migrations that {@link migrate} would run. */
export async function pendingMigrations(database: Database): Promise<string[]> {
  const all = await createMigrator(database).getMigrations()
  return all.filter(({ executedAt }) => !executedAt).map(({ name }) => name)
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
    const names = (await readdir(MIGRATIONS_FOLDER)).filter((name) => name.endsWith('.sql')).sort()
    const migrations: Record<string, Migration> = {}
    for (const name of names) {
      const text = await readFile(new URL(name, MIGRATIONS_FOLDER), 'utf8')
      migrations[name.replace(/\.sql$/, '')] = {
        async up(db) {
          for (const statement of statementsOf(text)) await sql.raw(statement).execute(db)
        },
      }
    }
    return migrations
  },
}

/** One statement at a time: PGlite's prepared protocol takes no more. A statement ends with `;` at a line's end. */
function statementsOf(text: string): string[] {
  const withoutComments = text.replace(/--.*$/gm, '')
  return withoutComments
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter(Boolean)
}

function explain(error: unknown, failed: string | undefined): MigrationError {
  const message = error instanceof Error ? error.message : String(error)
  if (message.includes('corrupted migrations')) {
    return new MigrationError(
      'The database was migrated by a newer version of Sallyport than this one. Run that version or newer.',
      { cause: error },
    )
  }
  return new MigrationError(failed ? `Migration ${failed} failed and was rolled back: ${message}` : message, {
    cause: error,
  })
}
