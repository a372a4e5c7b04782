import { PGlite } from '@electric-sql/pglite'
import {
  type DatabaseConnection,
  type Driver,
  Kysely,
  PGliteDialect,
  PostgresDialect,
  type PostgresDialectConfig,
} from 'kysely'
import pg from 'pg'
import { CHANNEL } from './change-notification.ts'
import { DatabaseConnectionError, isConnectionUseless } from './database-error.ts'
import type { Schema } from './schema.ts'

/*
 * The room db: connections to Postgres (a pool to a server, or the embedded PGlite), migrations, batching, prepared
 * statements, the row cache, change notification, locks and the meaning of database errors.
 */

export type Database = Kysely<Schema>

const POOL_SIZE = 10
const WAIT_MILLISECONDS = 2_000
const STATEMENT_MILLISECONDS = 4_000
/** Longer than the server's own limit: reached only when the server is silent. */
const SILENCE_MILLISECONDS = 5_000
const LOCK_MILLISECONDS = 2_000
const MIGRATION_LOCK_MILLISECONDS = 60_000
const IDLE_IN_TRANSACTION_MILLISECONDS = 10_000

/**
 * Opens a pool to a Postgres server. Connects with the first statement.
 *
 * @param onConnectionError called when an idle connection is lost; the pool replaces it. Without a listener the
 *   loss would end the process.
 */
export function openPostgres(
  url: string,
  { onConnectionError }: { onConnectionError: (error: Error) => void },
): Database {
  return openPool({
    connectionString: url,
    max: POOL_SIZE,
    statement_timeout: STATEMENT_MILLISECONDS,
    query_timeout: SILENCE_MILLISECONDS,
    lock_timeout: LOCK_MILLISECONDS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MILLISECONDS,
    onConnectionError,
  })
}

/** A connection for migrations: they may take long, and wait for another instance that is migrating. */
export function openPostgresForMigrations(url: string): Database {
  return openPool({
    connectionString: url,
    max: 1,
    lock_timeout: MIGRATION_LOCK_MILLISECONDS,
    onConnectionError: () => {},
  })
}

function openPool({
  onConnectionError,
  ...options
}: pg.PoolConfig & { onConnectionError: (error: Error) => void }): Database {
  const pool = new pg.Pool({
    application_name: 'sallyport',
    // Statements find rows by key, so one plan fits all parameters; planning each time costs more than the look-up.
    options: '-c plan_cache_mode=force_generic_plan',
    connectionTimeoutMillis: WAIT_MILLISECONDS,
    keepAlive: true,
    ...options,
  })
  pool.on('error', onConnectionError)
  // The pool handles errors of idle connections only: losing one in use would end the process.
  pool.on('connect', (client) => client.on('error', onConnectionError))
  return new Kysely({ dialect: new PostgresDialect({ pool: withPreparedStatements(pool) }) })
}

type Pool = Exclude<PostgresDialectConfig['pool'], (...parameters: never) => unknown>

/**
 * A pool whose clients prepare the statements that begin with a comment, under the name in that comment (see
 * `prepareStatement`). A broken client is not returned to the pool. Connecting rejects with
 * {@link DatabaseConnectionError}.
 */
function withPreparedStatements(pool: pg.Pool): Pool {
  // The client resolves the host from the URL or PGHOST.
  const target = new pg.Client(pool.options)
  return {
    options: pool.options,
    end: () => pool.end(),
    async connect() {
      const client = await pool.connect().catch((error: unknown) => {
        throw new DatabaseConnectionError(target, error)
      })
      let isUseless = false
      return {
        async query(text: string, values: readonly unknown[]) {
          const name = /^\/\* (\w+) \*\//.exec(text)?.[1]
          try {
            return await client.query({ ...(name ? { name } : {}), text, values: [...values] })
          } catch (error) {
            isUseless ||= isConnectionUseless(error)
            throw error
          }
        },
        release: (destroy?: boolean) => client.release(destroy || isUseless),
      } as unknown as Awaited<ReturnType<Pool['connect']>>
    },
  }
}

/**
 * Opens the embedded Postgres in a folder. The caller holds the folder's lock: one process at a time.
 *
 * @param folder created when missing; undefined keeps the data in memory (tests).
 * @param onChange called with the name of a watched table after the commit of a change to it.
 */
export function openEmbeddedPostgres(
  folder: string | undefined,
  onChange: (table: string) => void = () => {},
): Database {
  const pglite = async () => {
    const opened = await PGlite.create(folder)
    await opened.listen(CHANNEL, onChange)
    return opened
  }
  return new Kysely({ dialect: new ExclusivePGliteDialect({ pglite }) })
}

/**
 * PGlite has one connection, and kysely's driver gives it to every caller: a statement of one request would run inside
 * the open transaction of another, and be rolled back with it. This driver gives the connection to one caller at a time.
 */
class ExclusivePGliteDialect extends PGliteDialect {
  override createDriver(): Driver {
    const driver: Driver = super.createDriver()
    const releases = new WeakMap<DatabaseConnection, () => void>()
    let last: Promise<void> = Promise.resolve()
    const acquire = async (): Promise<DatabaseConnection> => {
      const turn = last
      const { promise, resolve } = Promise.withResolvers<void>()
      last = promise
      await turn
      try {
        const connection = await driver.acquireConnection()
        releases.set(connection, resolve)
        return connection
      } catch (error) {
        resolve()
        throw error
      }
    }
    return new Proxy(driver, {
      get(target, property) {
        if (property === 'acquireConnection') return acquire
        if (property === 'releaseConnection') {
          return async (connection: DatabaseConnection) => {
            await target.releaseConnection(connection)
            releases.get(connection)?.()
          }
        }
        const member: unknown = Reflect.get(target, property, target)
        return typeof member === 'function' ? member.bind(target) : member
      },
    })
  }
}
