import { createPasswordHasher } from '../accounts/password.ts'
import { createPasswordRules } from '../accounts/password-rules.ts'
import { createAdmin } from '../admin/admin.ts'
import { answerAdminRequests } from '../admin/socket.ts'
import type { Config } from '../config/config.ts'
import { loadMasterKeys } from '../crypto/master-key.ts'
import { createVault, type Vault } from '../crypto/vault.ts'
import { claimDataFolder } from '../data-folder/data-folder.ts'
import { type DatabaseClock, measureClock } from '../database-clock.ts'
import { readDatabaseTime } from '../db/database-time.ts'
import { planMigrations } from '../db/migrate.ts'
import { createCleanup } from '../jobs/cleanup.ts'
import type { Log } from '../log.ts'
import { createMetrics } from '../metrics.ts'
import { createKeyring } from '../oidc/keyring.ts'
import { createOutbound } from '../outbound/client.ts'
import { createRateLimiter } from '../rate-limiting/rate-limiter.ts'
import { createSignInRateLimit } from '../rate-limiting/sign-in-rate-limit.ts'
import { createStores, type Stores } from '../store/stores.ts'
import { createHeartbeat } from '../store/token/uptime.ts'
import type { Clock } from '../time.ts'
import { type OpenDatabase, openDatabase } from './database.ts'

type Needs = {
  log: Log
  /** This machine's clock. The server measures the database's clock against it and decides by the latter. */
  now?: Clock | undefined
  /** How often to try, a second apart, while the database does not answer. */
  attempts?: number
  /** Stops waiting for a database that does not answer. */
  signal?: AbortSignal | undefined
}

export type Installation = Awaited<ReturnType<typeof openInstallation>>

/**
 * Opens the parts that the server and the command line share: the migrated database, the stores on it, and the
 * operations of the operator.
 *
 * @throws when the database cannot be opened or migrated, or the master key does not fit it.
 */
export async function openInstallation(
  config: Config,
  { log, now: wallClock = () => new Date(), attempts = 1, signal }: Needs,
) {
  const { masterKeys, dataDir } = config
  const folder = config.database.kind === 'embedded' ? await claimDataFolder(dataDir, { log }) : undefined
  let opened: OpenDatabase | undefined
  try {
    const vault = createVault(await loadMasterKeys({ masterKeys, dataDir }))
    opened = await openDatabase(config, { folder, log, attempts, signal })
    const { database, notifications } = opened
    const clock = await measureClock({ readTime: () => readDatabaseTime(database), wallClock })
    const parts = await buildParts(config, opened, { vault, clock })
    folder?.answerWith(answerAdminRequests(parts.admin))
    return {
      ...parts,
      async close() {
        await folder?.finishAnswering()
        await parts.outbound.close()
        await notifications.close()
        await database.destroy()
        // Last: the next holder of the folder must find the database closed.
        await folder?.release()
      },
    }
  } catch (error) {
    await opened?.notifications.close()
    await opened?.database.destroy()
    await folder?.release()
    throw error
  }
}

async function buildParts(
  config: Config,
  { database, notifications, runAlone }: OpenDatabase,
  { vault, clock }: { vault: Vault; clock: DatabaseClock },
) {
  const { brand, eventRetentionSeconds, issuer, lifetimes, outboundAllowedNetworks } = config
  const { now } = clock
  const heartbeat = createHeartbeat(lifetimes.refreshReplaySeconds)
  const stores = createStores({ database, notifications, heartbeat, now })
  const keyring = createKeyring({ keys: stores.signingKeys, vault })
  const jwks = await keyring.load()
  const metrics = createMetrics()
  const rateLimiter = createRateLimiter({ attempts: stores.attempts, vault, metrics })
  const signInRateLimit = createSignInRateLimit({ rateLimiter })
  const passwords = {
    hasher: createPasswordHasher(),
    rules: createPasswordRules({ names: ['Sallyport', brand.name, new URL(issuer).hostname] }),
  }
  const outbound = createOutbound(outboundAllowedNetworks)
  const cleanup = createCleanup({ tables: expiringTables(stores), runAlone, eventRetentionSeconds })
  const pendingMigrations = async () => (await planMigrations(database)).names
  return {
    database,
    notifications,
    clock,
    vault,
    stores,
    heartbeat,
    keyring,
    jwks,
    passwords,
    metrics,
    rateLimiter,
    signInRateLimit,
    outbound,
    cleanup,
    admin: createAdmin({
      stores,
      passwords,
      signInRateLimit,
      keyring,
      cleanup,
      outbound,
      clock,
      pendingMigrations,
    }),
  }
}

/** The tables whose expired rows are deleted; the report names them. */
function expiringTables(stores: Stores) {
  return {
    tokens: stores.tokens,
    sessions: stores.sessions,
    browsers: stores.rememberedBrowsers,
    artifacts: stores.artifacts,
    answers: stores.refreshAnswers,
    grants: stores.grants,
    attempts: stores.attempts,
    links: stores.mailLinks,
    events: stores.events,
  }
}
