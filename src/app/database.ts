import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Config } from '../config/config.ts'
import { DATABASE_FOLDER, type DataFolder } from '../data-folder/data-folder.ts'
import {
  type ChangeNotifications,
  createLocalNotifications,
  listenForNotifications,
} from '../db/change-notification.ts'
import {
  type Database,
  openEmbeddedPostgres,
  openPostgres,
  openPostgresForMigrations,
} from '../db/connections.ts'
import { codeOf, DatabaseConnectionError, isUnavailable, reasonOf } from '../db/database-error.ts'
import { type MigrationReport, migrate } from '../db/migrate.ts'
import { createLocalWorkerLock, createWorkerLock, type RunAlone } from '../db/worker-lock.ts'
import type { Log } from '../log.ts'

const RETRY_MILLISECONDS = 1_000

/** How often to try, one second apart, while the database does not answer. */
type Retries = { log: Log; attempts: number; signal: AbortSignal | undefined }

export type OpenDatabase = Readonly<{
  database: Database
  notifications: ChangeNotifications
  runAlone: RunAlone
}>

/** Opens the database and migrates it. The embedded database is in the data folder that this process holds. */
export async function openDatabase(
  { database, dataDir }: Config,
  { folder, log, attempts, signal }: Retries & { folder: DataFolder | undefined },
): Promise<OpenDatabase> {
  if (database.kind === 'embedded') {
    const notifications = createLocalNotifications()
    const embedded = openEmbeddedPostgres(
      join(folder?.path ?? dataDir, DATABASE_FOLDER),
      notifications.receive,
    )
    logMigrations(await migrate(embedded), log)
    folder?.secure()
    return { database: embedded, notifications, runAlone: createLocalWorkerLock() }
  }
  await migratePostgres(database.url, { log, attempts, signal })
  const pool = openPostgres(database.url, {
    onConnectionError: (error) => log.warn({ event: 'database.connection_lost', error: error.message }),
  })
  return {
    database: pool,
    notifications: listenForNotifications(database.url),
    runAlone: createWorkerLock(pool),
  }
}

async function migratePostgres(url: string, { log, attempts, signal }: Retries): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const database = openPostgresForMigrations(url)
    try {
      logMigrations(await migrate(database), log)
      return
    } catch (error) {
      if (attempt >= attempts || signal?.aborted || !isUnavailable(error)) throw error
      log.warn({ event: 'database.unavailable', attempt, of: attempts, ...describeFailure(error) })
      await pause(RETRY_MILLISECONDS, undefined, { signal }).catch(() => {})
    } finally {
      await database.destroy()
    }
  }
}

/** The host, port and error of a failed connection, without credentials. */
function describeFailure(error: unknown): Record<string, unknown> {
  const { host, port } = error instanceof DatabaseConnectionError ? error : {}
  // A field named `code` would be redacted, as authorization codes are.
  return { host, port, error_code: codeOf(error), reason: reasonOf(error) }
}

function logMigrations({ names, newer }: MigrationReport, log: Log): void {
  for (const migration of names) log.info({ event: 'migrated', migration })
  if (newer.length > 0) log.warn({ event: 'schema.newer', migrations: newer })
}
