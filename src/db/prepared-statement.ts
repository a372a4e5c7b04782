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

/** The same for a statement whose row has a `count`. */
export function prepareCount(name: string, text: string) {
  const execute = prepareStatement<{ count: number }>(name, text)
  return async (database: Database, parameters: readonly unknown[]): Promise<number> => {
    const [row] = await execute(database, parameters)
    return row?.count ?? 0
  }
}

/** The same for a list: returns the fields of each row (see {@link toFields}). */
export function prepareList<Listed extends object>(name: string, text: string) {
  const execute = prepareStatement<object>(name, text)
  return async (database: Database, parameters: readonly unknown[]): Promise<Listed[]> => {
    const rows = await execute(database, parameters)
    return rows.map((row) => toFields(row) as Listed)
  }
}

/** Converts items to one array per column, the parameters of `unnest`. */
export function columnsOf<Item>(
  items: readonly Item[],
  ...columns: readonly ((item: Item) => unknown)[]
): unknown[][] {
  return columns.map((column) => items.map(column))
}

type CamelCase<Name extends string> = Name extends `${infer First}_${infer Rest}`
  ? `${First}${Capitalize<CamelCase<Rest>>}`
  : Name

/** The fields of a row: in camel case, with undefined for null. */
type Fields<Row> = {
  [Name in keyof Row as CamelCase<Name & string>]: null extends Row[Name]
    ? Exclude<Row[Name], null> | undefined
    : Row[Name]
}

/** Converts a row to its fields. For lists; a statement of every request names its fields itself, which is faster. */
export function toFields<Row extends object>(row: Row): Fields<Row> {
  const fields = Object.entries(row).map(([name, value]) => [
    name.replace(/_(.)/g, (_match, letter: string) => letter.toUpperCase()),
    value ?? undefined,
  ])
  return Object.fromEntries(fields) as Fields<Row>
}
