import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { createPasswordHasher } from './accounts/password.ts'
import { createAdmin } from './admin/admin.ts'
import { answerAdminRequests } from './admin/socket.ts'
import type { Config } from './config.ts'
import { createCleanup } from './jobs/cleanup.ts'
import type { Log } from './log.ts'
import { loadMasterKeys } from './master-key.ts'
import { createKeyring } from './oidc/keyring.ts'
import { createOutbound } from './oidc/outbound.ts'
import { createAccountStore } from './store/account.ts'
import { createArtifactStore } from './store/artifact.ts'
import { createClientStore } from './store/client.ts'
import { claimDataFolder, DATABASE_FOLDER, type DataFolder } from './store/data-folder.ts'
import {
  type Database,
  openEmbeddedPostgres,
  openPostgres,
  openPostgresForMigrations,
} from './store/database.ts'
import { isUnavailable } from './store/fault.ts'
import { createGrantStore } from './store/grant.ts'
import { migrate, pendingMigrations } from './store/migrate.ts'
import { createResourceStore } from './store/resource.ts'
import { createSessionStore } from './store/session.ts'
import { createSigningKeyStore } from './store/signing-key.ts'
import { createTokenStore } from './store/token.ts'
import type { Clock } from './time.ts'
import { createVault } from './vault.ts'

const RETRY_MILLISECONDS = 1_000

type Needs = {
  log: Log
  now?: Clock
  /** How often to try, a second apart, while the database does not answer. */
  attempts?: number
}

/**
 * Everything behind the two listeners and the command line: the database brought up to date, the stores on it, and
 * what works on them.
 *
 * @throws when the database cannot be opened or migrated, or the master key does not fit it.
 */
export async function openInstallation(config: Config, { log, now = () => new Date(), attempts = 1 }: Needs) {
  const folder = config.database.kind === 'embedded' ? await claimDataFolder(config.dataDir) : undefined
  let database: Database | undefined
  try {
    const vault = createVault(await loadMasterKeys(config))
    database = await openDatabase(config, { folder, log, attempts })
    const stores = {
      accounts: createAccountStore(database),
      clients: createClientStore(database),
      resources: createResourceStore(database),
      tokens: createTokenStore(database),
      grants: createGrantStore(database),
      sessions: createSessionStore(database),
      artifacts: createArtifactStore(database),
    }
    const keyring = createKeyring({ keys: createSigningKeyStore(database), vault })
    const jwks = await keyring.load()
    const hasher = createPasswordHasher()
    const outbound = createOutbound(config.outboundAllowedNetworks)
    const cleanup = createCleanup({ ...stores, now })
    const opened = database
    const admin = createAdmin({
      ...stores,
      hasher,
      keyring,
      cleanup,
      outbound,
      pendingMigrations: () => pendingMigrations(opened),
    })
    folder?.answerWith(answerAdminRequests(admin))
    return {
      database,
      vault,
      stores,
      jwks,
      hasher,
      outbound,
      admin,
      async close() {
        await folder?.finishAnswering()
        await outbound.close()
        await opened.destroy()
        // Last: whoever gets the folder next finds the database closed.
        await folder?.release()
      },
    }
  } catch (error) {
    await database?.destroy()
    await folder?.release()
    throw error
  }
}

type Opening = { folder: DataFolder | undefined; log: Log; attempts: number }

async function openDatabase(
  { database, dataDir }: Config,
  { folder, log, attempts }: Opening,
): Promise<Database> {
  if (database.kind === 'embedded') {
    const embedded = openEmbeddedPostgres(join(folder?.path ?? dataDir, DATABASE_FOLDER))
    logMigrations(await migrate(embedded), log)
    return embedded
  }
  await migratePostgres(database.url, log, attempts)
  return openPostgres(database.url, {
    onConnectionError: (error) => log.warn({ event: 'database.connection_lost', error: error.message }),
  })
}

async function migratePostgres(url: string, log: Log, attempts: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const database = openPostgresForMigrations(url)
    try {
      logMigrations(await migrate(database), log)
      return
    } catch (error) {
      if (attempt >= attempts || !isUnavailable(error)) throw error
      log.warn({ event: 'database.unavailable', attempt, of: attempts })
      await pause(RETRY_MILLISECONDS)
    } finally {
      await database.destroy()
    }
  }
}

function logMigrations(names: readonly string[], log: Log): void {
  for (const migration of names) log.info({ event: 'migrated', migration })
}
