import { readdir, readFile } from 'node:fs/promises'

const FOLDER = new URL('../../migrations/', import.meta.url)

/** A file of `migrations/`: its name without `.sql`, and its statements. */
type MigrationFile = Readonly<{ name: string; statements: readonly string[] }>

/** The migrations of this version, in the order in which they run. */
export async function readMigrationFiles(): Promise<MigrationFile[]> {
  const names = (await readdir(FOLDER)).filter((name) => name.endsWith('.sql')).sort()
  return await Promise.all(
    names.map(async (name) => ({
      name: name.replace(/\.sql$/, ''),
      statements: statementsOf(await readFile(new URL(name, FOLDER), 'utf8')),
    })),
  )
}

/** The number at the beginning of a migration's name; undefined when it has none. */
export function numberOf(name: string): number | undefined {
  const [, digits] = /^(\d{4})_/.exec(name) ?? []
  return digits === undefined ? undefined : Number(digits)
}

/**
 * Splits a file into statements, since PGlite's prepared protocol takes one at a time. A statement ends with `;` at a
 * line's end.
 */
function statementsOf(text: string): string[] {
  const withoutComments = text.replace(/--.*$/gm, '')
  return withoutComments
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter(Boolean)
}
