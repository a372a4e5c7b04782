import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Provider } from 'oidc-provider'
import { createPasswordHasher } from './accounts/password.ts'
import { createSignIn } from './accounts/sign-in.ts'
import { type Admin, createAdmin } from './admin/admin.ts'
import { answerAdminRequests } from './admin/socket.ts'
import type { Config } from './config.ts'
import { createApp } from './http/app.ts'
import { createHealthApp } from './http/health.ts'
import { createViews } from './http/views.ts'
import { createCleanup } from './jobs/cleanup.ts'
import type { Log } from './log.ts'
import { loadMasterKeys } from './master-key.ts'
import { createKeyring } from './oidc/keyring.ts'
import { createOutbound } from './oidc/outbound.ts'
import { createEngine } from './oidc/provider.ts'
import { createAccountStore } from './store/account.ts'
import { createArtifactStore } from './store/artifact.ts'
import { createClientStore } from './store/client.ts'
import { claimDataFolder, DATABASE_FOLDER, type DataFolder } from './store/data-folder.ts'
import {
  type Database,
  openEmbeddedPostgres,
  openPostgres,
  openPostgresForMigrations,
  ping,
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

const BRAND = 'Sallyport'
const DRAIN_MILLISECONDS = 25_000
const START_ATTEMPTS = 30
const RETRY_MILLISECONDS = 1_000
const SWEEP_MILLISECONDS = 100

export type RunningServer = Readonly<{
  /** Where the public listener answers on this machine. */
  url: string
  managementUrl: string
  admin: Admin
  /** Not ready, then finishes what is running (at most 25 s), then closes. */
  stop(options?: { pauseMilliseconds?: number }): Promise<void>
}>

type Needs = { log: Log; now?: Clock }

/** Done after the installation is open and before anything listens. */
type Prepare = (admin: Admin) => Promise<void>

/**
 * Everything behind the two listeners and the command line: the database brought up to date, the stores on it, and
 * what works on them.
 *
 * @throws when the database cannot be opened or migrated, or the master key does not fit it.
 */
export async function openInstallation(
  config: Config,
  { log, now = () => new Date(), attempts = 1 }: Needs & { attempts?: number },
) {
  const folder = config.database.kind === 'embedded' ? await claimDataFolder(config.dataDir) : undefined
  let database: Database | undefined
  try {
    database = await openDatabase(config, { folder, log, attempts })
    const vault = createVault(await loadMasterKeys(config))
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
        await folder?.release()
        await outbound.close()
        await opened.destroy()
      },
    }
  } catch (error) {
    await folder?.release()
    await database?.destroy()
    throw error
  }
}

/** Starts the server: opens the installation, listens on both ports, and says how to stop. */
export async function startServer(
  config: Config,
  { log, now = () => new Date(), prepare }: Needs & { prepare?: Prepare },
): Promise<RunningServer> {
  let isStopping = false
  // Orchestrators start everything at once: the database may need a moment longer than we do.
  const installation = await openInstallation(config, { log, now, attempts: START_ATTEMPTS })
  const { database, vault, stores, jwks, hasher, outbound, admin } = installation
  const views = createViews({ brand: BRAND, issuer: config.issuer })
  const engine: Provider = createEngine({
    ...config,
    ...stores,
    ...views,
    jwks,
    vault,
    outbound,
    log,
    now,
  })
  const app = createApp({
    ...config,
    engine: () => engine,
    signIn: createSignIn({ ...stores, hasher }),
    accounts: stores.accounts,
    vault,
    views,
    log,
    now,
  })
  const health = createHealthApp({
    async readiness() {
      // Migrations ran and keys were loaded before anything listened.
      const checks = {
        database: await ping(database),
        migrations: true,
        keys: jwks.keys.length > 0,
        accepting: !isStopping,
      }
      return { ready: Object.values(checks).every(Boolean), checks }
    },
  })

  const listeners: Server[] = []
  try {
    await prepare?.(admin)
    for (const [callback, { host, port }] of [
      [health.callback(), config.management],
      [app.callback(), config.listen],
    ] as const) {
      listeners.push(await listen(callback, host, port))
    }
  } catch (error) {
    await Promise.all(listeners.map(close))
    await installation.close()
    throw error
  }
  const [management, main] = listeners as [Server, Server]
  log.info({ event: 'listening', issuer: config.issuer, address: urlOf(main), management: urlOf(management) })

  return {
    url: urlOf(main),
    managementUrl: urlOf(management),
    admin,
    async stop({ pauseMilliseconds = 0 } = {}) {
      if (isStopping) return
      isStopping = true
      log.info({ event: 'stopping' })
      // The balancer in front learns that this instance is not ready before it stops accepting.
      await pause(pauseMilliseconds)
      await close(main)
      await close(management)
      await installation.close()
      log.info({ event: 'stopped' })
    },
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

/** Limits of both listeners: slow or idle connections are closed, the rest is Koa's. */
function listen(callback: RequestListener, host: string, port: number): Promise<Server> {
  const server = createServer(
    {
      headersTimeout: 10_000,
      requestTimeout: 30_000,
      keepAliveTimeout: 65_000,
      maxHeaderSize: 32 * 1024,
      connectionsCheckingInterval: 1_000,
    },
    callback,
  )
  server.maxConnections = 2_000
  return new Promise((done, fail) => {
    server.once('error', fail)
    server.listen(port, host, () => {
      server.off('error', fail)
      done(server)
    })
  })
}

/** Accepts nothing new, lets running requests finish, and cuts what takes longer than {@link DRAIN_MILLISECONDS}. */
async function close(server: Server): Promise<void> {
  const cut = setTimeout(() => server.closeAllConnections(), DRAIN_MILLISECONDS)
  // A kept-alive connection becomes idle only when its last response is out.
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MILLISECONDS)
  await new Promise<void>((done) => {
    server.close(() => done())
    server.closeIdleConnections()
  })
  clearTimeout(cut)
  clearInterval(sweep)
}

function urlOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo
  const host =
    address === '::' || address === '0.0.0.0' ? 'localhost' : family === 'IPv6' ? `[${address}]` : address
  return `http://${host}:${port}`
}
