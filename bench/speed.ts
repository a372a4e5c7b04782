import {
  CONTENDERS,
  type Contender,
  type ContenderName,
  type RunningContender,
} from './contenders/contender.ts'
import { cpuSecondsOf } from './cpu.ts'
import type { Measurement } from './load/closed-loop.ts'
import { type Generator, startGenerator } from './load/generator.ts'
import type { ScenarioName } from './load/scenarios.ts'
import type { Postgres } from './postgres.ts'
import type { Processes } from './processes.ts'
import { type Figures, type ScenarioResult, summarise } from './report/figures.ts'

/** Statements are counted in a run of their own: counting slows Postgres. */
const COUNTING_SECONDS = 1
/** Codes are made before the run, this many times as many as the warm-up's pace needs. */
const STOCK_RESERVE = 1.5
const FIRST_STOCK_PER_SECOND = 1_000

export type SpeedOptions = Readonly<{
  scenarios: readonly ScenarioName[]
  seconds: number
  warmUp: number
  connections: number
  rounds: number
  /** Starts each server once instead of once per scenario: faster, but earlier load affects later figures. */
  keepsServers?: boolean
}>

/** A running server and the load generator for it. */
type LoadedServer = Readonly<{
  contender: Contender
  running: RunningContender
  generator: Generator
  stop(): Promise<void>
}>

type Needs = Readonly<{
  processes: Processes
  postgres: Postgres
  contenders: Record<ContenderName, Contender>
  tell: (progress: string) => void
}>

/** Runs every scenario against the contenders in turn, so that a slow minute of the machine affects all of them. */
export async function measureSpeed(options: SpeedOptions, needs: Needs): Promise<ScenarioResult[]> {
  const kept = new Map<ContenderName, LoadedServer>()
  try {
    return await measureScenarios(options, needs, async (name, work) => {
      const server = kept.get(name) ?? (await startLoadedServer(needs.contenders[name], needs.processes))
      if (options.keepsServers) kept.set(name, server)
      return await work(server).finally(() => options.keepsServers || server.stop())
    })
  } finally {
    for (const server of kept.values()) await server.stop()
  }
}

async function measureScenarios(
  options: SpeedOptions,
  needs: Needs,
  withServer: <Result>(
    name: ContenderName,
    work: (server: LoadedServer) => Promise<Result>,
  ) => Promise<Result>,
): Promise<ScenarioResult[]> {
  const results: ScenarioResult[] = []
  for (const scenario of options.scenarios) {
    const rounds: Record<ContenderName, Figures>[] = []
    for (let round = 1; round <= options.rounds; round++) {
      const figures: Partial<Record<ContenderName, Figures>> = {}
      for (const name of CONTENDERS) {
        needs.tell(`${scenario}, ${name}${options.rounds > 1 ? `, round ${round}` : ''}`)
        figures[name] = await withServer(name, (server) =>
          measureServer(scenario, server, options, needs.postgres),
        )
      }
      rounds.push(figures as Record<ContenderName, Figures>)
    }
    results.push(summarise(scenario, rounds))
  }
  return results
}

async function startLoadedServer(contender: Contender, processes: Processes): Promise<LoadedServer> {
  const running = await contender.start()
  const generator = startGenerator(processes)
  const stop = async () => {
    await generator.stop()
    await running.stop()
  }
  return { contender, running, generator, stop }
}

/** Warms a contender up, measures it, and counts its statements. */
async function measureServer(
  scenario: ScenarioName,
  server: LoadedServer,
  { connections, warmUp, seconds }: SpeedOptions,
  postgres: Postgres,
): Promise<Figures> {
  const { generator, running } = server
  await generator.order({ do: 'prepare', scenario, target: running.target, connections })
  const { requests, seconds: taken } = await run(generator, warmUp, FIRST_STOCK_PER_SECOND)
  const pace = requests / taken
  const timed = await runTimed(server, { seconds, pace, postgres })
  const counting = { seconds: Math.min(seconds, COUNTING_SECONDS), pace, postgres }
  return { ...timed, statementsPerRequest: await countStatements(server, counting) }
}

type Timing = Readonly<{ seconds: number; pace: number; postgres: Postgres }>

async function runTimed(
  { contender, running, generator }: LoadedServer,
  { seconds, pace, postgres }: Timing,
): Promise<Omit<Figures, 'statementsPerRequest'>> {
  await generator.order({ do: 'stock', count: Math.ceil(pace * seconds * STOCK_RESERVE) })
  if (contender.database !== undefined) await postgres.settle(contender.database)
  const before = { server: cpuSecondsOf(running.pid), postgres: postgres.cpuSeconds() }
  const measurement = await order(generator, seconds)
  const after = { server: cpuSecondsOf(running.pid), postgres: postgres.cpuSeconds() }
  const perRequest = (from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined ? undefined : ((to - from) * 1_000_000) / measurement.requests
  return {
    requests: measurement.requests,
    seconds: measurement.seconds,
    requestsPerSecond: measurement.requests / measurement.seconds,
    p50Milliseconds: measurement.p50Milliseconds,
    p99Milliseconds: measurement.p99Milliseconds,
    serverMicroseconds: perRequest(before.server, after.server),
    // A contender without a database causes no work in Postgres.
    postgresMicroseconds: contender.database === undefined ? 0 : perRequest(before.postgres, after.postgres),
    generatorMicroseconds: (measurement.cpuSeconds * 1_000_000) / measurement.requests,
    faults: measurement.faults,
    firstFault: measurement.firstFault,
  }
}

/** Divides all statements by all requests, so a statement that several requests share counts as a share. */
async function countStatements(
  { contender, generator }: LoadedServer,
  { seconds, pace, postgres }: Timing,
): Promise<number | undefined> {
  if (contender.database === undefined) return 0
  await generator.order({ do: 'stock', count: Math.ceil(pace * seconds * STOCK_RESERVE) })
  let requests = 0
  const statements = await postgres.countStatements(contender.database, async () => {
    requests = (await order(generator, seconds)).requests
  })
  return statements && statements.reduce((sum, { calls }) => sum + calls, 0) / requests
}

async function run(generator: Generator, seconds: number, pace: number): Promise<Measurement> {
  await generator.order({ do: 'stock', count: Math.ceil(pace * seconds) })
  return await order(generator, seconds)
}

async function order(generator: Generator, seconds: number): Promise<Measurement> {
  const measurement = await generator.order({ do: 'run', seconds })
  if (!measurement || measurement.requests === 0)
    throw new Error(`no request was answered: ${measurement?.firstFault ?? 'nothing was sent'}`)
  return measurement
}
