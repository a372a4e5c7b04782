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

/** The statements are counted apart from the time, since counting takes time. */
const COUNTING_SECONDS = 1
/** Codes are made beforehand, for the pace of the warm-up and somewhat more. */
const STOCK_RESERVE = 1.5
const FIRST_STOCK_PER_SECOND = 1_000

export type SpeedOptions = Readonly<{
  scenarios: readonly ScenarioName[]
  seconds: number
  warmUp: number
  connections: number
  rounds: number
  /** Starts each server once instead of once per scenario: faster, and less fair. */
  keepsServers?: boolean
}>

/** A running server and the load generator for it. */
type Lane = Readonly<{
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

/** Runs every scenario against every contender, the contenders in turn, so that a slow minute hits all of them. */
export async function measureSpeed(options: SpeedOptions, needs: Needs): Promise<ScenarioResult[]> {
  const kept = new Map<ContenderName, Lane>()
  try {
    return await measureScenarios(options, needs, async (name, work) => {
      const lane = kept.get(name) ?? (await openLane(needs.contenders[name], needs.processes))
      if (options.keepsServers) kept.set(name, lane)
      return await work(lane).finally(() => options.keepsServers || lane.stop())
    })
  } finally {
    for (const lane of kept.values()) await lane.stop()
  }
}

async function measureScenarios(
  options: SpeedOptions,
  needs: Needs,
  withLane: <Result>(name: ContenderName, work: (lane: Lane) => Promise<Result>) => Promise<Result>,
): Promise<ScenarioResult[]> {
  const results: ScenarioResult[] = []
  for (const scenario of options.scenarios) {
    const rounds: Record<ContenderName, Figures>[] = []
    for (let round = 1; round <= options.rounds; round++) {
      const figures: Partial<Record<ContenderName, Figures>> = {}
      for (const name of CONTENDERS) {
        needs.tell(`${scenario}, ${name}${options.rounds > 1 ? `, round ${round}` : ''}`)
        figures[name] = await withLane(name, (lane) => measureLane(scenario, lane, options, needs.postgres))
      }
      rounds.push(figures as Record<ContenderName, Figures>)
    }
    results.push(summarise(scenario, rounds))
  }
  return results
}

async function openLane(contender: Contender, processes: Processes): Promise<Lane> {
  const running = await contender.start()
  const generator = startGenerator(processes)
  const stop = async () => {
    await generator.stop()
    await running.stop()
  }
  return { contender, running, generator, stop }
}

/** Warms a contender up, measures it, and counts its statements. */
async function measureLane(
  scenario: ScenarioName,
  lane: Lane,
  { connections, warmUp, seconds }: SpeedOptions,
  postgres: Postgres,
): Promise<Figures> {
  const { generator, running } = lane
  await generator.order({ do: 'prepare', scenario, target: running.target, connections })
  const { requests, seconds: taken } = await run(generator, warmUp, FIRST_STOCK_PER_SECOND)
  const pace = requests / taken
  const timed = await runTimed(lane, { seconds, pace, postgres })
  const counting = { seconds: Math.min(seconds, COUNTING_SECONDS), pace, postgres }
  return { ...timed, statementsPerRequest: await countStatements(lane, counting) }
}

type Timing = Readonly<{ seconds: number; pace: number; postgres: Postgres }>

async function runTimed(
  { contender, running, generator }: Lane,
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
    // Without a database of its own, what Postgres does meanwhile is not this contender's.
    postgresMicroseconds: contender.database === undefined ? 0 : perRequest(before.postgres, after.postgres),
    generatorMicroseconds: (measurement.cpuSeconds * 1_000_000) / measurement.requests,
    faults: measurement.faults,
    firstFault: measurement.firstFault,
  }
}

/** A batch that serves several requests counts for each of them as its share: all statements over all requests. */
async function countStatements(
  { contender, generator }: Lane,
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
