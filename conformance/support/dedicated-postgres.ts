import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPostgres } from './database-server.ts'

export type DedicatedPostgres = Readonly<{
  /** The URL of its database, which is empty at first. */
  url: string
  /** Ends every connection, as `pg_ctl stop -m fast` does. */
  stop: () => Promise<void>
  /** Starts it again with its data. */
  start: () => Promise<void>
  remove: () => Promise<void>
}>

/** Starts a Postgres server that a test may stop, beside the one that all tests share. */
export async function startDedicatedPostgres(): Promise<DedicatedPostgres> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-postgres-'))
  // Postgres may run as another user.
  await chmod(folder, 0o755)
  const { server, url } = await createPostgres(join(folder, 'postgres'), { persistent: true })
  await server.initialise()
  await server.start()
  return {
    url: new URL('/postgres', url).href,
    stop: () => server.stop(),
    start: () => server.start(),
    async remove() {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
