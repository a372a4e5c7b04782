import { sql } from 'kysely'
import type { Database } from './connections.ts'
import { numberOf, readMigrationFiles } from './migration-files.ts'
import { prepareStatement } from './prepared-statement.ts'

/** How the schema differs from the migrations of this version. */
export type SchemaDifference = Readonly<{
  /** Migrations of this version that have not run. */
  pending: readonly string[]
  /** Migrations that ran and that this version does not know. */
  unknown: readonly string[]
}>

export async function findDifference(database: Database): Promise<SchemaDifference> {
  const known = (await readMigrationFiles()).map(({ name }) => name)
  const ran = await readRan(database)
  return {
    pending: known.filter((name) => !ran.includes(name)),
    unknown: ran.filter((name) => !known.includes(name)).sort(),
  }
}

/**
 * Explains why this version must not serve a schema with unknown migrations, and what to do about it.
 *
 * @returns undefined when it may: the newer version declared that (see `migrations/README.md`).
 */
export async function findIncompatibility(
  database: Database,
  { pending, unknown }: SchemaDifference,
): Promise<string | undefined> {
  const newest = await newestKnown()
  const wayOut = 'Start the newer version again, or restore the backup that was made before the upgrade.'
  const made = `The schema was made by a newer version of Sallyport, which ran ${unknown.join(', ')}`
  if (pending.length > 0)
    return `${made} and not ${pending.join(', ')}, which this version (${format(newest)}) needs. ${wayOut}`
  const servedFrom = await readServedFrom(database)
  if (servedFrom !== undefined && servedFrom <= newest) return undefined
  return servedFrom === undefined
    ? `${made} and did not say which older versions can serve it. ${wayOut}`
    : `${made}. It needs a version that knows migration ${format(servedFrom)}; this one knows up to ${format(newest)}. ${wayOut}`
}

/** For a running instance: whether a newer version has made the schema incompatible. */
export function createServableCheck(database: Database): () => Promise<boolean> {
  const newest = newestKnown()
  return async () => ((await readServedFrom(database)) ?? 0) <= (await newest)
}

async function newestKnown(): Promise<number> {
  return numberOf((await readMigrationFiles()).at(-1)?.name ?? '') ?? 0
}

async function readRan(database: Database): Promise<string[]> {
  const exists = await sql<{ exists: boolean }>`
    select to_regclass('schema_migration') is not null as exists`.execute(database)
  if (!exists.rows[0]?.exists) return []
  const { rows } = await sql<{ name: string }>`select name from schema_migration`.execute(database)
  return rows.map(({ name }) => name)
}

const selectServedFrom = prepareStatement<{ served_from: number }>(
  'schema_served_from',
  'select served_from from schema_compatibility',
)

async function readServedFrom(database: Database): Promise<number | undefined> {
  const [row] = await selectServedFrom(database, [])
  return row?.served_from
}

function format(number: number): string {
  return String(number).padStart(4, '0')
}
