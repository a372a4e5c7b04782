import { Command } from 'commander'
import { parseConfig } from '../config.ts'
import { print, type Terminal } from './terminal.ts'

const ANSWER_MILLISECONDS = 3_000

export function healthcheckCommand(terminal: Terminal): Command {
  return new Command('healthcheck')
    .description('ask the running server whether it is ready (for containers)')
    .action(async () => {
      const { host, port } = parseConfig(terminal.env).management
      const isAnyAddress = host === '0.0.0.0' || host === '::'
      const url = `http://${isAnyAddress ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host}:${port}/health/ready`
      const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MILLISECONDS) }).catch(() => {
        throw new Error(`nothing answers at ${url}`)
      })
      if (!response.ok) throw new Error(`not ready: ${await response.text()}`)
      print(terminal, 'ready')
    })
}
