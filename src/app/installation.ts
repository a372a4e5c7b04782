import { createPasswordHasher } from '../accounts/password.ts'
import { createPasswordRules } from '../accounts/password-rules.ts'
import { createAdmin } from '../admin/admin.ts'
import { answerAdminRequests } from '../admin/socket.ts'
import type { Config } from '../config/config.ts'
import { loadMasterKeys } from '../crypto/master-key.ts'
import { createVault, type Vault } from '../crypto/vault.ts'
import { claimDataFolder } from '../data-folder/data-folder.ts'
import { type DatabaseClock, measureClock } from '../database-clock.ts'
import type { Database } from '../db/connections.ts'
import { readDatabaseTime } from '../db/database-time.ts'
import { planMigrations } from '../db/migrate.ts'
import { createCleanup } from '../jobs/cleanup.ts'
import type { Log } from '../log.ts'
import { createMetrics } from '../metrics.ts'
import { createKeyring } from '../oidc/keyring.ts'
import { createOutbound } from '../outbound/client.ts'
import { createRateLimiter } from '../rate-limiting/rate-limiter.ts'
import { createSignInRateLimit } from '../rate-limiting/sign-in-rate-limit.ts'
import { createSigningKeyStore } from '../store/client/signing-key.ts'
import { createHeartbeat } from '../store/token/uptime.ts'
import type { Clock } from '../time.ts'
import { type OpenDatabase, openDatabase } from './database.ts'
import { createStores, type Stores } from './stores.ts'

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
  const heartbeat = createHeartbeat(lifetimes.refreshReplaySeconds)
  const stores = createStores({ database, notifications, heartbeat, now: clock.now })
  const { events } = stores
  const keyring = createKeyring({ keys: createSigningKeyStore(database, { events }), vault })
  const metrics = createMetrics()
  const rateLimiter = createRateLimiter({ attempts: stores.attempts, vault, metrics })
  const parts = {
    database,
    notifications,
    clock,
    vault,
    stores,
    heartbeat,
    keyring,
    jwks: await keyring.load(),
    passwords: {
      hasher: createPasswordHasher(),
      rules: createPasswordRules({ names: ['Sallyport', brand.name, new URL(issuer).hostname] }),
    },
    metrics,
    rateLimiter,
    signInRateLimit: createSignInRateLimit({ rateLimiter }),
    outbound: createOutbound(outboundAllowedNetworks),
    cleanup: createCleanup({ tables: expiringTables(stores), runAlone, eventRetentionSeconds }),
  }
  return { ...parts, admin: buildAdmin(parts) }
}

type AdminParts = { database: Database; stores: Stores } & Omit<
  Parameters<typeof createAdmin>[0],
  'stores' | 'pendingMigrations'
>

function buildAdmin(parts: AdminParts) {
  const { cleanup, clock, database, keyring, outbound, passwords, signInRateLimit, stores } = parts
  const { accounts, clients, resources, events } = stores
  const { sessions, rememberedBrowsers, connections, revocations } = stores
  return createAdmin({
    stores: { accounts, clients, resources, events, sessions, rememberedBrowsers, connections, revocations },
    passwords,
    signInRateLimit,
    keyring,
    cleanup,
    outbound,
    clock,
    pendingMigrations: async () => (await planMigrations(database)).names,
  })
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
