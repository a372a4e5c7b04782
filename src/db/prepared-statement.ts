import { CompiledQuery } from 'kysely'
import type { Database } from './connections.ts'

/**
 * Defines a prepared statement for the request path, written as SQL. Postgres parses and plans it once per connection.
 * The SQL names its columns, never `*`: a prepared statement must keep its result type when a migration adds a column.
 *
 * @param name unique; the server's log and its statistics show it.
 * @returns a function that executes the statement on a database or in a transaction.
 */
export function prepareStatement<Row>(name: string, text: string) {
  const prepared = `/* ${name} */ ${text.trim()}`
  return async (database: Database, parameters: readonly unknown[]): Promise<Row[]> => {
    const { rows } = await database.executeQuery<Row>(CompiledQuery.raw(prepared, [...parameters]))
    return rows
  }
}

/** Turns items into one array per column, the parameters of `unnest`. */
export function columnsOf<Item>(
  items: readonly Item[],
  ...columns: readonly ((item: Item) => unknown)[]
): unknown[][] {
  return columns.map((column) => items.map(column))
}
