import { Command } from 'commander'
import { z } from 'zod'
import { type Config, parseConfig } from '../config/config.ts'
import { print, type Terminal } from './output/terminal.ts'

const ANSWER_MILLISECONDS = 3_000

const reportSchema = z.object({
  checks: z.record(z.string(), z.boolean()),
  warnings: z.array(z.string()).default([]),
})

export function healthcheckCommand(terminal: Terminal): Command {
  return new Command('healthcheck')
    .description('check that the running server is ready (for containers)')
    .action(async () => {
      const report = await fetchReadiness(parseConfig(terminal.env).management)
      if (!report.isReady) throw new Error(`not ready: ${failedChecks(report)}`)
      print(terminal, 'ready')
    })
}

/** The readiness report of the running server, from the management port. */
type ReadinessReport = Readonly<{ isReady: boolean } & z.infer<typeof reportSchema>>

/** @throws when no server answers at the configured management port. */
export async function fetchReadiness({ host, port }: Config['management']): Promise<ReadinessReport> {
  const isAnyAddress = host === '0.0.0.0' || host === '::'
  const url = `http://${isAnyAddress ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host}:${port}/health/ready`
  const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MILLISECONDS) }).catch(() => {
    throw new Error(`no answer from ${url}`)
  })
  const report = reportSchema.safeParse(await response.json().catch(() => undefined))
  // A starting server answers without a report.
  return { isReady: response.ok, ...(report.success ? report.data : { checks: {}, warnings: [] }) }
}

/** The names of the failed checks, for a message. */
export function failedChecks({ checks }: ReadinessReport): string {
  const failed = Object.keys(checks).filter((name) => !checks[name])
  return failed.length > 0 ? failed.join(', ') : 'the server is starting'
}
