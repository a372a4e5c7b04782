import { CompiledQuery } from 'kysely'
import type { Database } from './connections.ts'

/**
 * A statement of the request path, written as SQL. It is compiled once here and prepared once a connection there.
 * Columns are named, never `*`: a prepared statement must not change its shape when a migration adds one.
 *
 * @param name unique; also what statistics and the server's log know it by.
 */
export function defineStatement<Row>(name: string, text: string) {
  const prepared = `/* ${name} */ ${text.trim()}`
  return async (database: Database, parameters: readonly unknown[]): Promise<Row[]> => {
    const { rows } = await database.executeQuery<Row>(CompiledQuery.raw(prepared, [...parameters]))
    return rows
  }
}

/** Turns rows into columns, for `unnest`. */
export function columnsOf<Item>(
  items: readonly Item[],
  ...columns: readonly ((item: Item) => unknown)[]
): unknown[][] {
  return columns.map((column) => items.map(column))
}
