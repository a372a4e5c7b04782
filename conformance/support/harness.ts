/**
 * Support of the conformance tests: servers on databases of their own, browsers, clients, and faults between a server
 * and its database. This file starts the servers. The tests use them over HTTP and create data with the admin API.
 */
import { execFile } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { pino } from 'pino'
import { inject } from 'vitest'
import { type RunningServer, startServer } from '../../src/app/server.ts'
import { parseConfig } from '../../src/config/config.ts'
import { createLog } from '../../src/log.ts'
import { addMovableClock, removeMovableClock, useMovableClock } from './clock.ts'
import { freePort, TEMPLATE_DATABASE } from './database-server.ts'

/** The password of every test person. */
export const PASSWORD = 'velvet kettle harbor nineteen'
const ENCRYPTION_KEY = randomBytes(32).toString('base64')

export type TestServer = RunningServer &
  Readonly<{
    issuer: string
    /** The environment for another instance, or the command line, on the same database. */
    env: Record<string, string>
    /** The log so far. */
    logged: () => string
    /** Every row of every table as text, bytes in hex, to search for secrets. */
    dump: () => Promise<string>
    /** Stops this server and its further instances, and removes the database. */
    remove: () => Promise<void>
    /** Starts another instance on the same database (Postgres only). */
    startAnother: (settings?: Record<string, string>) => Promise<RunningServer & { issuer: string }>
  }>

/** Starts a server on a new database. */
export async function startTestServer(
  settings: Record<string, string> = {},
  /** Replaces the URL of the database, for example by that of a fault proxy. */
  reroute: (databaseUrl: string) => Promise<string> = async (url) => url,
): Promise<TestServer> {
  const database = isPglite ? await clonePglite() : await clonePostgres()
  const lines: string[] = []
  const log = createLog({ level: 'debug', format: 'json' }, { write: (line: string) => lines.push(line) })
  const port = await freePort()
  const env: Record<string, string> = {
    ISSUER: `http://localhost:${port}`,
    PORT: String(port),
    MANAGEMENT_PORT: '0',
    ENCRYPTION_KEY,
    ...database.env,
    ...(database.env.DATABASE_URL ? { DATABASE_URL: await reroute(database.env.DATABASE_URL) } : {}),
    ...settings,
  }
  const server = await startServer(parseConfig(env), { log })
  const others: RunningServer[] = []

  return {
    ...server,
    issuer: env.ISSUER ?? '',
    env,
    logged: () => lines.join(''),
    dump: database.dump,
    async startAnother(otherSettings = {}) {
      const otherPort = await freePort()
      const config = parseConfig({ ...env, PORT: String(otherPort), ...otherSettings })
      const other = await startServer(config, { log: pino({ level: 'silent' }) })
      others.push(other)
      return { ...other, issuer: env.ISSUER ?? '' }
    },
    async remove() {
      for (const instance of [...others, server]) await instance.stop()
      await database.remove()
    },
  }
}

export const isPglite = process.env.TEST_DATABASE === 'pglite'

type TestDatabase = { env: Record<string, string>; dump: () => Promise<string>; remove: () => Promise<void> }

async function clonePglite(): Promise<TestDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-'))
  // `cp` copies the files with a fifth of the CPU time of Node’s own.
  await promisify(execFile)('cp', ['-R', inject('pgliteTemplate'), join(folder, 'postgres')])
  return {
    env: { DATA_DIR: folder },
    dump: async () => {
      throw new Error('the file of the embedded database is searched instead')
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

async function clonePostgres(): Promise<TestDatabase> {
  const server = inject('postgresUrl')
  const name = `test_${randomUUID().replaceAll('-', '')}`
  const administration = new pg.Client(new URL('/postgres', server).href)
  await administration.connect()
  // Postgres copies a template for one connection at a time.
  await administration.query(`select pg_advisory_lock(1)`)
  await administration.query(`create database ${name} template ${TEMPLATE_DATABASE}`)
  await administration.query(`select pg_advisory_unlock(1)`)
  await administration.query(useMovableClock(name))
  await administration.end()
  const url = new URL(`/${name}`, server).href
  addMovableClock(url)
  return {
    env: { DATABASE_URL: url },
    dump: () => dumpAll(url),
    async remove() {
      await removeMovableClock(url)
      const client = new pg.Client(new URL('/postgres', server).href)
      await client.connect()
      await client.query(`drop database if exists ${name} with (force)`)
      await client.end()
    },
  }
}

async function dumpAll(url: string): Promise<string> {
  const client = new pg.Client(url)
  await client.connect()
  const tables = await client.query<{ name: string }>(
    `select table_name as name from information_schema.tables where table_schema = 'public'`,
  )
  const texts: string[] = []
  for (const { name } of tables.rows) {
    const { rows } = await client.query<{ row: string }>(`select to_jsonb(t)::text as row from ${name} t`)
    texts.push(...rows.map(({ row }) => row))
  }
  await client.end()
  return texts.join('\n')
}
