import { Command } from 'commander'
import { createRemoteAdmin, isHeld } from '../admin/socket.ts'
import { type Config, ConfigError, parseConfig } from '../config/config.ts'
import { describeDistance, isRefusedAt } from '../database-clock.ts'
import { createMailTransport } from '../mail/transport.ts'
import { verifyGuard } from '../outbound/guarded-agent.ts'
import { failedChecks, fetchReadiness } from './healthcheck.ts'
import { print, type Terminal } from './output/terminal.ts'
import { withAdmin } from './with-admin.ts'

const ANSWER_MILLISECONDS = 5_000

/** A warning does not fail the check: it names behaviour that may surprise an operator. */
type Check = { name: string; ok: boolean; warning?: true; detail: string }

export function doctorCommand(terminal: Terminal): Command {
  return new Command('doctor')
    .description('check this installation for faults')
    .option('--json', 'print one JSON document')
    .action(async (options: { json?: boolean }) => {
      const checks = await examine(terminal)
      const healthy = checks.every(({ ok }) => ok)
      print(
        terminal,
        options.json ? JSON.stringify({ healthy, checks }, null, 2) : checks.map(toLine).join('\n'),
      )
      if (!healthy) throw new UnhealthyError('A check failed: see above.')
    })
}

/** The report is printed already; this error sets the exit code. */
class UnhealthyError extends Error {
  override name = 'UnhealthyError'
}

async function examine(terminal: Terminal): Promise<Check[]> {
  let config: Config
  try {
    config = parseConfig(terminal.env)
  } catch (error) {
    if (error instanceof ConfigError)
      return error.faults.map((detail) => ({ name: 'configuration', ok: false, detail }))
    throw error
  }
  return [
    { name: 'configuration', ok: true, detail: `issuer ${config.issuer}, ${config.database.kind} database` },
    await check('database', 'schema up to date, master key fits', () => examineDatabase(terminal, config)),
    await examineClock(terminal),
    await examineMail(config),
    await check('outbound', 'requests to private addresses are blocked', verifyGuard),
    await check('server', 'discovery answers with this issuer', () => examineServer(config)),
    ...(await examineReadiness(config)),
  ]
}

async function examineDatabase(terminal: Terminal, { database, dataDir }: Config): Promise<void> {
  if (database.kind === 'embedded' && (await isHeld(dataDir))) {
    await createRemoteAdmin(dataDir).keys.list()
    return
  }
  await withAdmin(terminal, (admin) => admin.keys.list())
}

async function examineClock(terminal: Terminal): Promise<Check> {
  const name = 'clock'
  try {
    const { ahead_seconds } = await withAdmin(terminal, (admin) => admin.clock.show())
    const wrong = describeDistance(ahead_seconds)
    if (wrong === undefined)
      return passed(name, `${Math.abs(ahead_seconds).toFixed(1)} s from the database’s clock`)
    return isRefusedAt(ahead_seconds) ? failed(name, wrong) : warned(name, wrong)
  } catch {
    return warned(name, 'not compared: the database does not answer')
  }
}

async function examineMail({ mail }: Config): Promise<Check> {
  const name = 'mail'
  switch (mail.by) {
    case 'smtp':
      return await check(name, `${mail.server.host} accepts mail`, async () => {
        await createMailTransport(mail)
          ?.check()
          .catch((error: unknown) => {
            throw new Error(
              `${mail.server.host} cannot be reached: ${error instanceof Error ? error.message : error}`,
            )
          })
      })
    case 'folder':
      return passed(name, `not sent but written to ${mail.folder}`)
    case 'nothing': {
      const detail =
        'not sent: SMTP_URL is not set, so registration, password reset and change of e-mail address are off'
      return warned(name, detail)
    }
  }
}

async function examineServer({ issuer }: Config): Promise<void> {
  const response = await fetch(`${issuer}/.well-known/openid-configuration`, {
    signal: AbortSignal.timeout(ANSWER_MILLISECONDS),
  }).catch(() => {
    throw new Error(`no answer from ${issuer}`)
  })
  const metadata: unknown = await response.json().catch(() => undefined)
  const named =
    typeof metadata === 'object' && metadata !== null && 'issuer' in metadata ? metadata.issuer : undefined
  if (named !== issuer) throw new Error(`${issuer} is not this server`)
}

async function examineReadiness({ management }: Config): Promise<Check[]> {
  const name = 'readiness'
  try {
    const report = await fetchReadiness(management)
    return [
      report.isReady
        ? passed(name, 'the running server is ready')
        : failed(name, `the running server is not ready: ${failedChecks(report)}`),
      ...report.warnings.map((detail): Check => warned(name, detail)),
    ]
  } catch {
    // The management port is reachable only on the machine of the server; doctor may run elsewhere.
    const detail =
      'not checked: the management port is not reachable from here (MANAGEMENT_HOST, MANAGEMENT_PORT)'
    return [warned(name, detail)]
  }
}

async function check(name: string, whenOk: string, work: () => Promise<void>): Promise<Check> {
  try {
    await work()
    return passed(name, whenOk)
  } catch (error) {
    return failed(name, error instanceof Error ? error.message : String(error))
  }
}

const passed = (name: string, detail: string): Check => ({ name, ok: true, detail })
const warned = (name: string, detail: string): Check => ({ name, ok: true, warning: true, detail })
const failed = (name: string, detail: string): Check => ({ name, ok: false, detail })

function toLine({ name, ok, warning, detail }: Check): string {
  return `${ok ? (warning ? 'warn' : 'ok  ') : 'FAIL'}  ${name.padEnd(14)} ${detail}`
}
