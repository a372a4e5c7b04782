import { mkdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { createEngineContender } from './contenders/engine.ts'
import { createSallyport } from './contenders/sallyport.ts'
import { measureGrowth } from './growth/measure.ts'
import { withInstallation } from './installation.ts'
import { SCENARIO_NAMES } from './load/scenarios.ts'
import { measureLogins } from './logins/measure.ts'
import {
  benchCommand,
  type CommonOptions,
  type GrowthCommandOptions,
  type LoginsCommandOptions,
  type SpeedCommandOptions,
} from './options.ts'
import { drawGrowthChart, formatGrowthReport, judgeGrowth } from './report/growth-report.ts'
import { drawLoginsChart, formatLoginsReport, judgeLogins } from './report/logins-report.ts'
import { formatMachine, type Machine } from './report/machine.ts'
import { drawSpeedChart } from './report/speed-chart.ts'
import { formatSpeedReport } from './report/speed-report.ts'
import { judge } from './report/targets.ts'
import { measureSpeed } from './speed.ts'

const EXPIRED_ROWS = 1_000_000
const RESULTS_FOLDER = join(import.meta.dirname, '../bench-results')

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
try {
  await benchCommand({ speed, growth, logins }).parseAsync()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}

async function speed(options: SpeedCommandOptions): Promise<void> {
  await withInstallation(options.alg, async (installation) => {
    const { machine } = installation
    const contenders = {
      engine: await createEngineContender('engine', installation),
      plain: await createEngineContender('plain', installation),
      sallyport: await createSallyport(installation),
    }
    const { scenario: scenarios = SCENARIO_NAMES, ...settings } = options
    const results = await measureSpeed({ ...settings, scenarios }, { ...installation, contenders })
    const verdicts = results.flatMap((result) => judge(result, machine.cores))
    report(options, machine, {
      document: { settings, scenarios: results, targets: verdicts },
      text: () => formatSpeedReport(results, verdicts),
      chart: { name: 'speed.svg', draw: (caption) => drawSpeedChart(results, caption) },
    })
    if (results.some(({ valid }) => !valid)) process.exitCode = 1
  })
}

async function growth(options: GrowthCommandOptions): Promise<void> {
  await withInstallation(options.alg, async (installation) => {
    const expiredRows = options.expiredRows ?? Math.min(EXPIRED_ROWS, Math.max(...options.rows))
    const settings = { ...options, expiredRows }
    const result = await measureGrowth(settings, {
      ...installation,
      sallyport: await createSallyport(installation),
    })
    const verdicts = judgeGrowth(result)
    report(options, installation.machine, {
      document: { settings, ...result, targets: verdicts },
      text: () => formatGrowthReport(result, verdicts),
      chart: { name: 'growth.svg', draw: (caption) => drawGrowthChart(result, caption) },
    })
  })
}

async function logins(options: LoginsCommandOptions): Promise<void> {
  await withInstallation(options.alg, async (installation) => {
    // Each person comes from an address of their own, as the server is told by the proxy that the bench plays.
    const settings = { TRUSTED_PROXIES: '127.0.0.1' }
    const result = await measureLogins(options, {
      ...installation,
      sallyport: await createSallyport({ ...installation, settings }),
    })
    const verdicts = judgeLogins(result)
    report(options, installation.machine, {
      document: { settings: options, ...result, targets: verdicts },
      text: () => formatLoginsReport(result, verdicts),
      chart: { name: 'logins.svg', draw: (caption) => drawLoginsChart(result, caption) },
    })
    if (result.faults > 0) process.exitCode = 1
  })
}

type Report = {
  document: object
  text: () => string
  chart: { name: string; draw: (caption: string) => string }
}

/** One JSON document for scripts; tables and a chart for people. */
function report(options: CommonOptions, machine: Machine, { document, text, chart }: Report): void {
  if (options.json) {
    print(JSON.stringify({ machine, ...document }, null, 2))
    return
  }
  print(`${formatMachine(machine)}\n${formatSettings(options)}\n\n${text()}\n`)
  print(`Chart: ${save(chart.name, chart.draw(formatMachine(machine).replaceAll('\n', ' · ')))}`)
}

function formatSettings({ seconds, connections, rounds, alg }: CommonOptions): string {
  return `${seconds} s a run, ${rounds === 1 ? 'one round' : `median of ${rounds} rounds`}, ${connections} connections, signatures ${alg}`
}

/** @returns the path as one would type it here. */
function save(name: string, content: string): string {
  mkdirSync(RESULTS_FOLDER, { recursive: true })
  const path = join(RESULTS_FOLDER, name)
  writeFileSync(path, content)
  return relative(process.cwd(), path)
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
