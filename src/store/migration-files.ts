import { readdir, readFile } from 'node:fs/promises'

const FOLDER = new URL('../../migrations/', import.meta.url)

/** A file of `migrations/`: its name without `.sql`, and its statements. */
export type MigrationFile = Readonly<{ name: string; statements: readonly string[] }>

/** The migrations that this version knows, in the order in which they run. */
export async function readMigrationFiles(): Promise<MigrationFile[]> {
  const names = (await readdir(FOLDER)).filter((name) => name.endsWith('.sql')).sort()
  return await Promise.all(
    names.map(async (name) => ({
      name: name.replace(/\.sql$/, ''),
      statements: statementsOf(await readFile(new URL(name, FOLDER), 'utf8')),
    })),
  )
}

/** The number that a migration's name begins with; undefined for a name of another kind. */
export function numberOf(name: string): number | undefined {
  const [, digits] = /^(\d{4})_/.exec(name) ?? []
  return digits === undefined ? undefined : Number(digits)
}

/** One statement at a time: PGlite's prepared protocol takes no more. A statement ends with `;` at a line's end. */
function statementsOf(text: string): string[] {
  const withoutComments = text.replace(/--.*$/gm, '')
  return withoutComments
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter(Boolean)
}
