import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Database, openEmbeddedPostgres } from './connections.ts'
import { MigrationError, migrate, planMigrations } from './migrate.ts'
import { readMigrationFiles } from './migration-files.ts'

const NEWER = '9000_from_a_newer_version'
/** The last migration before compatibility numbers. */
const BEFORE = '0009_devices'

let database: Database
let later: string[]

/** A database of the previous version. */
beforeAll(async () => {
  database = openEmbeddedPostgres(undefined)
  await sql`create table schema_migration (name varchar(255) primary key, timestamp varchar(255) not null)`.execute(
    database,
  )
  const files = await readMigrationFiles()
  for (const { name, statements } of files.filter(({ name }) => name <= BEFORE)) {
    for (const statement of statements) await sql.raw(statement).execute(database)
    await markAsRun(name)
  }
  later = files.map(({ name }) => name).filter((name) => name > BEFORE)
}, 60_000)
afterAll(() => database?.destroy())

async function markAsRun(name: string): Promise<void> {
  await sql`insert into schema_migration values (${name}, ${new Date().toISOString()})`.execute(database)
}

test('migrates a database of the previous version, once', async () => {
  expect(await planMigrations(database)).toEqual({ names: later, newer: [] })
  expect(await migrate(database)).toEqual({ names: later, newer: [] })
  expect(await planMigrations(database)).toEqual({ names: [], newer: [] })
  expect(await migrate(database)).toEqual({ names: [], newer: [] })
})

test('keeps the schema of a newer version that declares it compatible', async () => {
  await markAsRun(NEWER)
  for (const run of [migrate, planMigrations])
    expect(await run(database)).toEqual({ names: [], newer: [NEWER] })
})

test('rejects the schema of a newer version that declares it incompatible', async () => {
  await sql`update schema_compatibility set served_from = 9000`.execute(database)
  for (const run of [migrate, planMigrations]) {
    await expect(run(database)).rejects.toThrow(MigrationError)
    await expect(run(database)).rejects.toThrow(
      /which ran 9000_from_a_newer_version\. It needs a version that knows migration 9000; this one knows up to \d{4}\. Start the newer/,
    )
  }
  await sql`delete from schema_compatibility`.execute(database)
  await expect(migrate(database)).rejects.toThrow('did not say which older versions can serve it')
})

test('rejects a schema with unknown migrations that lacks known ones', async () => {
  const [first = ''] = later
  await sql`delete from schema_migration where name = ${first}`.execute(database)
  for (const run of [migrate, planMigrations])
    await expect(run(database)).rejects.toThrow(`which ran ${NEWER} and not ${first}, which this version`)
})
