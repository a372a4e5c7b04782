import type { Database } from './connections.ts'
import { prepareStatement } from './prepared-statement.ts'

/** Reads the database's clock, in milliseconds since the epoch. */
export async function readDatabaseTime(database: Database): Promise<number> {
  const [row] = await readTime(database, [])
  return row?.milliseconds ?? Number.NaN
}

const readTime = prepareStatement<{ milliseconds: number }>(
  'clock_read',
  'select extract(epoch from clock_timestamp())::float8 * 1000 as milliseconds',
)
