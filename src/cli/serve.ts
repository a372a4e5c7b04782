import { Command } from 'commander'
import { parseConfig } from '../config.ts'
import { seedDemo, welcome } from '../demo.ts'
import { createLog } from '../log.ts'
import { startServer } from '../server.ts'
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
      const server = await startServer(config, { log })
      // Seeded after listening, so that what is printed works at once.
      const seeded =
        config.database.kind === 'embedded' && options.demo ? await seedDemo(server.admin) : undefined
      print(terminal, welcome(config.issuer, seeded))
      await new Promise((done) => terminal.signal.addEventListener('abort', done, { once: true }))
      await server.stop({ pauseMilliseconds: config.isLocal ? 0 : PAUSE_BEFORE_CLOSING_MILLISECONDS })
    })
}
