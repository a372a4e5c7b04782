import { Command, InvalidArgumentError, Option } from 'commander'
import { SIGNING_ALGS, type SigningAlg } from './contenders/contender.ts'
import { SCENARIO_NAMES, type ScenarioName } from './load/scenarios.ts'

export type CommonOptions = {
  seconds: number
  warmUp: number
  connections: number
  rounds: number
  alg: SigningAlg
  json?: boolean
}
type SpeedCommandOptions = CommonOptions & { scenario?: ScenarioName[] }

type LoginsCommandOptions = CommonOptions & { people: number; rate: number }

export type SmokeCommandOptions = Pick<CommonOptions, 'alg' | 'json'>

type GrowthCommandOptions = CommonOptions & { rows: number[]; expiredRows?: number }

type Actions = {
  speed: (options: SpeedCommandOptions) => Promise<void>
  growth: (options: GrowthCommandOptions) => Promise<void>
  logins: (options: LoginsCommandOptions) => Promise<void>
  smoke: (options: SmokeCommandOptions) => Promise<void>
}

/** The command line of `npm run bench`. */
export function benchCommand({ speed, growth, logins, smoke }: Actions): Command {
  return (
    withCommonOptions(new Command('bench'))
      .description('compare the speed of Sallyport with the bare engine and with a plain adapter')
      .option(
        `--scenario <name>`,
        `run this scenario only (repeatable): ${SCENARIO_NAMES.join(', ')}`,
        collectScenario,
      )
      .action(speed)
      // Options after a subcommand belong to it: both commands have --seconds.
      .enablePositionalOptions()
      .addCommand(growthCommand(growth))
      .addCommand(loginsCommand(logins))
      .addCommand(smokeCommand(smoke))
  )
}

function growthCommand(growth: Actions['growth']): Command {
  return withCommonOptions(new Command('growth'))
    .description('compare the latency of Sallyport on databases of several sizes, and clean up under load')
    .option(
      '--rows <list>',
      'token rows of each database, made by SQL',
      rowCounts,
      [10_000, 1_000_000, 5_000_000],
    )
    .option(
      '--expired-rows <n>',
      'rows to clean up (default: 1000000, or as many as the most of --rows)',
      wholeNumber,
    )
    .action(growth)
}

function loginsCommand(logins: Actions['logins']): Command {
  return withCommonOptions(new Command('logins'))
    .description('compare the latency of /token alone and beside many concurrent sign-ins')
    .option('--people <n>', 'number of people who sign in at the same time', wholeNumber, 500)
    .option('--rate <n>', 'token requests per second', positive, 100)
    .action(logins)
}

function smokeCommand(smoke: Actions['smoke']): Command {
  return withReportOptions(new Command('smoke'))
    .description('run every kind for a moment, to check the answers')
    .action(smoke)
}

function withCommonOptions(command: Command): Command {
  return withReportOptions(command)
    .option('--seconds <n>', 'measured seconds per scenario and server', positive, 10)
    .option('--warm-up <n>', 'seconds of load before the measurement', positive, 3)
    .option('--connections <n>', 'concurrent requests', wholeNumber, 16)
    .option('--rounds <n>', 'number of measurements; the median is reported', wholeNumber, 1)
}

function withReportOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--alg <alg>', 'signature algorithm of ID tokens and JWT access tokens')
        .choices([...SIGNING_ALGS])
        .default('RS256'),
    )
    .option('--json', 'print one JSON document instead of a table')
}

function collectScenario(value: string, before: ScenarioName[] = []): ScenarioName[] {
  const name = SCENARIO_NAMES.find((known) => known === value)
  if (!name) throw new InvalidArgumentError(`Choose one of ${SCENARIO_NAMES.join(', ')}.`)
  return [...before, name]
}

function rowCounts(value: string): number[] {
  return value
    .split(',')
    .map(wholeNumber)
    .sort((one, other) => one - other)
}

function positive(value: string): number {
  const number = Number(value)
  if (!(number > 0)) throw new InvalidArgumentError('Give a number above 0.')
  return number
}

function wholeNumber(value: string): number {
  const number = Number(value)
  if (!Number.isSafeInteger(number) || number < 1)
    throw new InvalidArgumentError('Give a whole number above 0.')
  return number
}
