import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { createPasswordHasher } from '../accounts/password.ts'
import { createPasswordRules } from '../accounts/password-rules.ts'
import { createAdmin } from '../admin/admin.ts'
import { answerAdminRequests } from '../admin/socket.ts'
import { createEventStore, dateEventsBy } from '../audit/event.ts'
import { measureClock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import { loadMasterKeys } from '../crypto/master-key.ts'
import { createVault } from '../crypto/vault.ts'
import { claimDataFolder, DATABASE_FOLDER, type DataFolder } from '../data-folder/data-folder.ts'
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
import { readDatabaseTime } from '../db/database-time.ts'
import { type MigrationReport, migrate, planMigrations } from '../db/migrate.ts'
import { createLocalWorkerLock, createWorkerLock, type RunAlone } from '../db/worker-lock.ts'
import { createCleanup } from '../jobs/cleanup.ts'
import type { Log } from '../log.ts'
import { createMetrics } from '../metrics.ts'
import { createKeyring } from '../oidc/keyring.ts'
import { createOutbound } from '../outbound/client.ts'
import { createRateLimiter } from '../rate-limiting/rate-limiter.ts'
import { createSignInRateLimit } from '../rate-limiting/sign-in-rate-limit.ts'
import { createAccountStore } from '../store/account/account.ts'
import { createMailLinkStore } from '../store/account/mail-link.ts'
import { createSelfServiceStore } from '../store/account/self-service.ts'
import { createAttemptCounter } from '../store/attempt-counter.ts'
import { createClientStore } from '../store/client/client.ts'
import { createResourceStore } from '../store/client/resource.ts'
import { createSigningKeyStore } from '../store/client/signing-key.ts'
import { createBackchannelLogoutStore } from '../store/outbox/backchannel-logout.ts'
import { createMailStore } from '../store/outbox/mail.ts'
import { createEnding } from '../store/revocation/revocation.ts'
import { createConnectionStore } from '../store/session/connection.ts'
import { createConsentStore } from '../store/session/consent.ts'
import { createRememberedBrowserStore } from '../store/session/remembered-browser.ts'
import { createSessionStore } from '../store/session/session.ts'
import { createArtifactStore } from '../store/token/artifact.ts'
import { createDeviceCodeStore } from '../store/token/device-code.ts'
import { createGrantStore } from '../store/token/grant.ts'
import { createRefreshAnswerStore } from '../store/token/refresh-answer.ts'
import { createTokenStore } from '../store/token/token.ts'
import { createTokenCommit } from '../store/token/token-commit.ts'
import { createHeartbeat, createUptimeStore } from '../store/token/uptime.ts'
import type { Clock } from '../time.ts'

const RETRY_MILLISECONDS = 1_000

type Needs = {
  log: Log
  /** This machine's clock. The server measures the database's clock against it and decides by the latter. */
  now?: Clock | undefined
  /** How often to try, a second apart, while the database does not answer. */
  attempts?: number
  /** Stops waiting for a database that does not answer. */
  signal?: AbortSignal | undefined
}

/**
 * Everything behind the two listeners and the command line: the database brought up to date, the stores on it, and
 * what works on them.
 *
 * @throws when the database cannot be opened or migrated, or the master key does not fit it.
 */
export async function openInstallation(
  config: Config,
  { log, now: wallClock = () => new Date(), attempts = 1, signal }: Needs,
) {
  const folder =
    config.database.kind === 'embedded' ? await claimDataFolder(config.dataDir, { log }) : undefined
  let database: Database | undefined
  let notifications: ChangeNotifications | undefined
  try {
    const vault = createVault(await loadMasterKeys(config))
    const opened = await openDatabase(config, { folder, log, attempts, signal })
    database = opened.database
    notifications = opened.notifications
    const clock = await measureClock({ readTime: () => readDatabaseTime(opened.database), wallClock })
    const { now } = clock
    dateEventsBy(now)
    const heartbeat = createHeartbeat(config.lifetimes.refreshReplaySeconds)
    const stores = {
      accounts: createAccountStore(database),
      clients: createClientStore(database, notifications),
      resources: createResourceStore(database, notifications),
      tokens: createTokenStore(database),
      deviceCodes: createDeviceCodeStore(database),
      grants: createGrantStore(database),
      sessions: createSessionStore(database),
      artifacts: createArtifactStore(database),
      attempts: createAttemptCounter(database),
      connections: createConnectionStore(database),
      consents: createConsentStore(database),
      rememberedBrowsers: createRememberedBrowserStore(database),
      refreshAnswers: createRefreshAnswerStore(database, heartbeat),
      events: createEventStore(database),
      backchannelLogouts: createBackchannelLogoutStore(database),
      mail: createMailStore(database),
      mailLinks: createMailLinkStore(database),
      selfService: createSelfServiceStore(database),
      commitTokens: createTokenCommit(database),
      end: createEnding(database),
      uptimes: createUptimeStore(database, heartbeat),
    }
    const keyring = createKeyring({ keys: createSigningKeyStore(database), vault })
    const jwks = await keyring.load()
    const hasher = createPasswordHasher()
    const passwordRules = createPasswordRules({
      names: ['Sallyport', config.brand.name, new URL(config.issuer).hostname],
    })
    const metrics = createMetrics()
    const rateLimiter = createRateLimiter({ ...stores, vault, metrics })
    const signInRateLimit = createSignInRateLimit({ rateLimiter })
    const outbound = createOutbound(config.outboundAllowedNetworks)
    const cleanup = createCleanup({
      ...stores,
      answers: stores.refreshAnswers,
      browsers: stores.rememberedBrowsers,
      links: stores.mailLinks,
      eventRetentionSeconds: config.eventRetentionSeconds,
      runAlone: opened.runAlone,
    })
    const admin = createAdmin({
      ...stores,
      hasher,
      passwordRules,
      signInRateLimit,
      keyring,
      cleanup,
      outbound,
      clock,
      pendingMigrations: async () => (await planMigrations(opened.database)).names,
    })
    folder?.answerWith(answerAdminRequests(admin))
    return {
      database,
      clock,
      vault,
      stores,
      heartbeat,
      notifications,
      keyring,
      jwks,
      cleanup,
      hasher,
      passwordRules,
      metrics,
      rateLimiter,
      signInRateLimit,
      outbound,
      admin,
      async close() {
        await folder?.finishAnswering()
        await outbound.close()
        await opened.notifications.close()
        await opened.database.destroy()
        // Last: whoever gets the folder next finds the database closed.
        await folder?.release()
      },
    }
  } catch (error) {
    await notifications?.close()
    await database?.destroy()
    await folder?.release()
    throw error
  }
}

type Waiting = { log: Log; attempts: number; signal: AbortSignal | undefined }
type Opening = Waiting & { folder: DataFolder | undefined }

async function openDatabase(
  { database, dataDir }: Config,
  { folder, log, attempts, signal }: Opening,
): Promise<{ database: Database; notifications: ChangeNotifications; runAlone: RunAlone }> {
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

async function migratePostgres(url: string, { log, attempts, signal }: Waiting): Promise<void> {
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
