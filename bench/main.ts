import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { chmod, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import type { ContenderNeeds } from './contenders/contender.ts'
import { createEngineContender } from './contenders/engine.ts'
import { createSallyport } from './contenders/sallyport.ts'
import { SCENARIO_NAMES } from './load/scenarios.ts'
import { benchCommand, type CommonOptions, type SpeedCommandOptions } from './options.ts'
import { startPostgres } from './postgres.ts'
import { createProcesses } from './processes.ts'
import { drawSpeedChart } from './report/chart.ts'
import { describeMachine, formatMachine, type Machine } from './report/machine.ts'
import { formatSpeedReport } from './report/speed-report.ts'
import { judge } from './report/targets.ts'
import { measureSpeed } from './speed.ts'

const RESULTS_FOLDER = join(import.meta.dirname, '../bench-results')

type Installed = ContenderNeeds & { machine: Machine; tell: (progress: string) => void }

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
await benchCommand({ speed }).parseAsync()

async function speed({ scenario = SCENARIO_NAMES, ...options }: SpeedCommandOptions): Promise<void> {
  await withInstallation(options, async (installed) => {
    const { machine } = installed
    const contenders = {
      engine: await createEngineContender('engine', installed),
      plain: await createEngineContender('plain', installed),
      sallyport: await createSallyport(installed),
    }
    const settings = { ...options, scenarios: scenario }
    const results = await measureSpeed(settings, { ...installed, contenders })
    const verdicts = results.flatMap((result) => judge(result, machine.cores))
    if (options.json)
      print(JSON.stringify({ machine, settings, scenarios: results, targets: verdicts }, null, 2))
    else {
      const chart = drawSpeedChart(results, formatMachine(machine).replaceAll('\n', ' · '))
      print(
        `${formatMachine(machine)}\n${formatSettings(options)}\n\n${formatSpeedReport(results, verdicts)}`,
      )
      print(`\nChart: ${save('speed.svg', chart)}`)
    }
    if (results.some(({ valid }) => !valid)) process.exitCode = 1
  })
}

/** Lends a Postgres and a folder, and takes both away again whatever happens. */
async function withInstallation(
  { alg }: CommonOptions,
  work: (installed: Installed) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-bench-'))
  // Postgres may run as another user than ours, and its folder lies in this one.
  await chmod(folder, 0o755)
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const processes = createProcesses()
  const tell = (progress: string) => process.stderr.write(`${progress}\n`)
  tell('starting Postgres and registering people and clients')
  const postgres = await startPostgres(folder, process.env.BENCH_DATABASE_URL)
  try {
    await work({ processes, postgres, folder, alg, machine: describeMachine(postgres), tell })
  } finally {
    await postgres.stop()
  }
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
