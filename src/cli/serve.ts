import { Command } from 'commander'
import type { Admin } from '../admin/admin.ts'
import { type Demo, seedDemo, welcome } from '../app/demo.ts'
import type { Stopping } from '../app/server.ts'
import { parseConfig } from '../config/config.ts'
import { createLog } from '../log.ts'
import { aborted, print, type Terminal } from './output/terminal.ts'

/**
 * SIGTERM: a load balancer needs seconds to notice that this instance is not ready. The next answer on a kept connection
 * closes it, and clients that follow `Keep-Alive` close an unused connection before the grace period ends.
 */
const IN_ORDER: Stopping = { pauseMilliseconds: 5_000, graceMilliseconds: 10_000 }
/** Ctrl-C: there is no load balancer, and a person waits. */
const AT_ONCE: Stopping = {}

export function serveCommand(terminal: Terminal): Command {
  return new Command('serve')
    .description('run the server (the default command)')
    .option('--no-demo', 'leave an empty embedded database empty')
    .action(async (options: { demo: boolean }) => {
      terminal.ignoreFurtherSignals()
      const config = parseConfig(terminal.env)
      const log = createLog(config.log)
      // Only the commands that need the engine and the databases load them.
      const { startServer } = await import('../app/server.ts')
      let seeded: Demo | undefined
      // Known usernames and a printed password are acceptable on this machine only.
      const prepare = async (admin: Admin) => {
        if (config.database.kind === 'embedded' && config.isLocal && options.demo)
          seeded = await seedDemo(admin)
      }
      const { signal } = terminal
      const server = await startServer(config, { log, prepare, signal }).catch((error: unknown) => {
        // The stop signal came during the start: no request was answered yet.
        if (signal.aborted) return undefined
        throw error
      })
      if (!server) return
      // On Postgres, stdout has nothing but the log.
      if (config.database.kind === 'embedded') print(terminal, welcome(config.issuer, seeded))
      await aborted(signal)
      await server.stop(signal.reason?.signal === 'SIGINT' ? AT_ONCE : IN_ORDER)
    })
}
