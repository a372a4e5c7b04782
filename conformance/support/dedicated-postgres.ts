import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPostgres } from './database-server.ts'

export type DedicatedPostgres = Readonly<{
  /** Of its one database, which is empty at first. */
  url: string
  /** Ends every connection, as `pg_ctl stop -m fast` does. */
  stop: () => Promise<void>
  /** Starts it again with what it held. */
  start: () => Promise<void>
  remove: () => Promise<void>
}>

/** A Postgres server that a test may stop: the one that all tests share must go on. */
export async function startDedicatedPostgres(): Promise<DedicatedPostgres> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-postgres-'))
  // The user that Postgres runs as may be another one than ours.
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
