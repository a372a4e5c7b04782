import { mkdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { withInstallation } from './installation.ts'
import { SCENARIO_NAMES } from './load/scenarios.ts'
import {
  benchCommand,
  type CommonOptions,
  type GrowthCommandOptions,
  type LoginsCommandOptions,
  type SmokeCommandOptions,
  type SpeedCommandOptions,
} from './options.ts'
import { formatMachine, type Machine } from './report/machine.ts'
import { GROWTH, LOGINS, type Report, SPEED } from './runs.ts'
import { SMOKE } from './smoke.ts'

const EXPIRED_ROWS = 1_000_000
const RESULTS_FOLDER = join(import.meta.dirname, '../bench-results')

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
try {
  await benchCommand({ speed, growth, logins, smoke }).parseAsync()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}

async function speed(options: SpeedCommandOptions): Promise<void> {
  const { scenario: scenarios = SCENARIO_NAMES, ...others } = options
  const settings = { ...others, scenarios }
  await withInstallation({ alg: options.alg, people: SPEED.people(settings) }, async (installation) =>
    publish(options, installation.machine, await SPEED.measure(settings, installation)),
  )
}

async function growth(options: GrowthCommandOptions): Promise<void> {
  const expiredRows = options.expiredRows ?? Math.min(EXPIRED_ROWS, Math.max(...options.rows))
  const settings = { ...options, expiredRows }
  await withInstallation({ alg: options.alg, people: GROWTH.people(settings) }, async (installation) =>
    publish(options, installation.machine, await GROWTH.measure(settings, installation)),
  )
}

async function logins(options: LoginsCommandOptions): Promise<void> {
  await withInstallation({ alg: options.alg, people: LOGINS.people(options) }, async (installation) =>
    publish(options, installation.machine, await LOGINS.measure(options, installation)),
  )
}

async function smoke({ alg, json }: SmokeCommandOptions): Promise<void> {
  await withInstallation({ alg, people: SMOKE.people }, async (installation) => {
    const reports = await SMOKE.measure(installation)
    // Builds the texts also for JSON output, so that the smoke run covers them.
    const texts = Object.values(reports).map(({ text, chart }) => ({ text: text(), chart: chart.draw('') }))
    const documents = Object.entries(reports).map(([name, { document }]) => [name, document])
    print(
      json
        ? JSON.stringify(Object.fromEntries(documents), null, 2)
        : texts.map(({ text }) => text).join('\n\n'),
    )
    if (Object.values(reports).some(({ isValid }) => !isValid)) process.exitCode = 1
  })
}

/** One JSON document for scripts; tables and a chart for people. */
function publish(options: CommonOptions, machine: Machine, { isValid, document, text, chart }: Report): void {
  if (!isValid) process.exitCode = 1
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
