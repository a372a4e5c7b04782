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
export type SpeedCommandOptions = CommonOptions & { scenario?: ScenarioName[] }

type Actions = { speed: (options: SpeedCommandOptions) => Promise<void> }

/** What `npm run bench` understands. */
export function benchCommand({ speed }: Actions): Command {
  return withCommonOptions(new Command('bench'))
    .description('compare the speed of Sallyport with the bare engine and with a plain adapter')
    .option(
      `--scenario <name>`,
      `only this one, may be repeated: ${SCENARIO_NAMES.join(', ')}`,
      collectScenario,
    )
    .action(speed)
}

function withCommonOptions(command: Command): Command {
  return command
    .option('--seconds <n>', 'measured seconds per scenario and server', positive, 10)
    .option('--warm-up <n>', 'seconds before that', positive, 3)
    .option('--connections <n>', 'requests under way at a time', wholeNumber, 16)
    .option('--rounds <n>', 'how often to measure everything; the median counts', wholeNumber, 1)
    .addOption(
      new Option('--alg <alg>', 'what ID tokens and JWT access tokens are signed with')
        .choices([...SIGNING_ALGS])
        .default('RS256'),
    )
    .option('--json', 'print one JSON document instead of tables')
}

function collectScenario(value: string, before: ScenarioName[] = []): ScenarioName[] {
  const name = SCENARIO_NAMES.find((known) => known === value)
  if (!name) throw new InvalidArgumentError(`It is one of ${SCENARIO_NAMES.join(', ')}.`)
  return [...before, name]
}

function positive(value: string): number {
  const number = Number(value)
  if (!(number > 0)) throw new InvalidArgumentError('It is a number above 0.')
  return number
}

function wholeNumber(value: string): number {
  const number = Number(value)
  if (!Number.isSafeInteger(number) || number < 1)
    throw new InvalidArgumentError('It is a whole number above 0.')
  return number
}
