import { Command } from 'commander'
import type { Admin } from '../admin/admin.ts'
import { parseConfig } from '../config.ts'
import { type Demo, seedDemo, welcome } from '../demo.ts'
import { createLog } from '../log.ts'
import { print, type Terminal } from './terminal.ts'

/** Balancers look every few seconds; on localhost there is none. */
const PAUSE_BEFORE_CLOSING_MILLISECONDS = 5_000

export function serveCommand(terminal: Terminal): Command {
  return new Command('serve')
    .description('run the server (the default command)')
    .option('--no-demo', 'leave an empty embedded database empty')
    .action(async (options: { demo: boolean }) => {
      const config = parseConfig(terminal.env)
      const log = createLog(config.log)
      // The engine and the databases are loaded by the commands that need them alone.
      const { startServer } = await import('../server.ts')
      let seeded: Demo | undefined
      // Known names and a printed password are for this machine alone.
      const prepare = async (admin: Admin) => {
        if (config.database.kind === 'embedded' && config.isLocal && options.demo)
          seeded = await seedDemo(admin)
      }
      const { signal } = terminal
      const server = await startServer(config, { log, prepare, signal }).catch((error: unknown) => {
        // It was told to stop while it waited for the database.
        if (signal.aborted) return undefined
        throw error
      })
      if (!server) return
      // On Postgres the log says that it listens, and nothing but the log is on stdout.
      if (config.database.kind === 'embedded') print(terminal, welcome(config.issuer, seeded))
      await aborted(signal)
      await server.stop({ pauseMilliseconds: config.isLocal ? 0 : PAUSE_BEFORE_CLOSING_MILLISECONDS })
    })
}

async function aborted(signal: AbortSignal): Promise<void> {
  // It may have come while the server was starting.
  if (signal.aborted) return
  await new Promise((done) => signal.addEventListener('abort', done, { once: true }))
}
