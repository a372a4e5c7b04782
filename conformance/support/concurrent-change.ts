import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import type { TestServer } from './harness.ts'

type Statement = readonly [text: string, ...values: unknown[]]

/**
 * Runs a request against a concurrent change of the database: begins the change, starts the request, waits until the
 * request waits for a lock, then commits the change (Postgres only).
 *
 * @param change a statement and its parameters; it must match a row.
 * @param further a statement of the same transaction, run once the request waits.
 * @returns the outcome of the request.
 */
export async function runDuringChange<Result>(
  server: TestServer,
  change: Statement,
  request: () => Promise<Result>,
  further?: Statement,
): Promise<Result> {
  const client = new pg.Client(server.env.DATABASE_URL)
  await client.connect()
  try {
    await client.query('begin')
    const { rowCount } = await run(client, change)
    if (!rowCount) throw new Error(`the change found no row: ${change[0]}`)
    const running = request()
    running.catch(() => {})
    await waitForWaiting(client)
    if (further) await run(client, further)
    await client.query('commit')
    return await running
  } finally {
    await client.end()
  }
}

function run(client: pg.Client, [text, ...values]: Statement): Promise<pg.QueryResult> {
  return client.query(text, [...values])
}

async function waitForWaiting(client: pg.Client): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    const { rowCount } = await client.query(
      `select from pg_stat_activity
        where datname = current_database() and pg_backend_pid() = any(pg_blocking_pids(pid))`,
    )
    if (rowCount) return
    await pause(10)
  }
  throw new Error('the request did not wait for the change')
}
