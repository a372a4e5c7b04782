/**
 * The benchmark (docs/benchmark.md): load/ sends requests, contenders/ are the servers, report/ makes table and JSON.
 * Three kinds of measurement: speed.ts, growth/ and logins/.
 */
import { withInstallation } from './installation.ts'
import { SCENARIO_NAMES } from './load/scenarios.ts'
import { benchCommand, type CommonOptions, type SmokeCommandOptions } from './options.ts'
import { formatMachine } from './report/machine.ts'
import { formatReport } from './report/report.ts'
import { GROWTH, LOGINS, type Run, SPEED } from './runs.ts'
import { SMOKE } from './smoke.ts'

const EXPIRED_ROWS = 1_000_000

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
try {
  await benchCommand({
    speed: (options) => run(SPEED, { ...options, scenarios: options.scenario ?? SCENARIO_NAMES }),
    growth: (options) =>
      run(GROWTH, {
        ...options,
        expiredRows: options.expiredRows ?? Math.min(EXPIRED_ROWS, Math.max(...options.rows)),
      }),
    logins: (options) => run(LOGINS, options),
    smoke,
  }).parseAsync()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}

/** Prints one JSON document for scripts, or a table for people. */
async function run<Options>(kind: Run<Options>, options: Options & CommonOptions): Promise<void> {
  const { alg, json } = options
  await withInstallation({ alg, people: kind.people(options) }, async (installation) => {
    const { machine } = installation
    const report = await kind.measure(options, installation)
    if (report.faults.length > 0) process.exitCode = 1
    if (json) print(JSON.stringify({ machine, ...report.document }, null, 2))
    else print(`${formatMachine(machine)}\n${formatSettings(options)}\n\n${formatReport(report)}`)
  })
}

async function smoke({ alg, json }: SmokeCommandOptions): Promise<void> {
  await withInstallation({ alg, people: SMOKE.people }, async (installation) => {
    const reports = await SMOKE.measure(installation)
    // Made for JSON too, so that the smoke run covers them.
    const texts = Object.values(reports).map(formatReport)
    const documents = Object.entries(reports).map(([name, { document }]) => [name, document])
    print(json ? JSON.stringify(Object.fromEntries(documents), null, 2) : texts.join('\n\n'))
    if (Object.values(reports).some(({ faults }) => faults.length > 0)) process.exitCode = 1
  })
}

function formatSettings({ seconds, connections, rounds, alg }: CommonOptions): string {
  return `${seconds} s a run, ${rounds === 1 ? 'one round' : `median of ${rounds} rounds`}, ${connections} connections, signatures ${alg}`
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
