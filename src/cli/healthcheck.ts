import { Command } from 'commander'
import { parseConfig } from '../config/config.ts'
import { print, type Terminal } from './output/terminal.ts'
import { failedChecks, fetchReadiness } from './readiness.ts'

export function healthcheckCommand(terminal: Terminal): Command {
  return new Command('healthcheck')
    .description('ask the running server whether it is ready (for containers)')
    .action(async () => {
      const report = await fetchReadiness(parseConfig(terminal.env).management)
      if (!report.isReady) throw new Error(`not ready: ${failedChecks(report)}`)
      print(terminal, 'ready')
    })
}
