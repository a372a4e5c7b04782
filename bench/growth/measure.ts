import type { RunningContender } from '../contenders/contender.ts'
import type { Sallyport } from '../contenders/sallyport.ts'
import type { Measurement } from '../load/closed-loop.ts'
import { type Generator, startGenerator } from '../load/generator.ts'
import type { GrownScenarioName } from '../load/grown-scenarios.ts'
import { type SignedIn, signInOne } from '../load/people.ts'
import type { Postgres } from '../postgres.ts'
import type { Processes } from '../processes.ts'
import { median } from '../report/statistics.ts'
import { measureCleanup, startCleaning } from './cleanup.ts'
import { addExpiredTokens, fillTokens, TOKENS_PER_GRANT } from './fill.ts'
import { explainHot, type Plan } from './plans.ts'
import type { CleanupResult, GrowthResult, Pace, SizeResult } from './result.ts'
import { measureSizes } from './sizes.ts'

const COUNTING_SECONDS = 1
const LOADS = { refresh: 'grown-refresh', introspection: 'grown-introspection' } as const satisfies Record<
  string,
  GrownScenarioName
>
type LoadName = keyof typeof LOADS
const LOAD_NAMES = Object.keys(LOADS) as LoadName[]

export type GrowthOptions = Readonly<{
  rows: readonly number[]
  expiredRows: number
  seconds: number
  warmUp: number
  connections: number
  rounds: number
}>

type GrowthNeeds = Readonly<{
  processes: Processes
  postgres: Postgres
  sallyport: Sallyport
  tell: (progress: string) => void
}>

/** A database of one size and its load. The generators remember their current tokens. */
type Grown = Readonly<{
  tokens: number
  database: string
  url: string
  generators: Record<LoadName, Generator>
  paces: Record<LoadName, Pace[]>
}>

/** Measures the same requests on databases of several sizes in turn, then a clean-up of the largest. */
export async function measureGrowth(options: GrowthOptions, needs: GrowthNeeds): Promise<GrowthResult> {
  const { tell } = needs
  const offline = await signInOffline(needs)
  const all: Grown[] = []
  for (const tokens of options.rows) {
    tell(`making ${tokens.toLocaleString('en')} token rows`)
    all.push(await grow(tokens, offline, options, needs))
  }
  const sizes = await Promise.all(all.map(({ url }) => measureSizes(url)))
  for (let round = 1; round <= options.rounds; round++)
    for (const grown of all) {
      tell(`${grown.tokens.toLocaleString('en')} rows${options.rounds > 1 ? `, round ${round}` : ''}`)
      await measureOne(grown, options, needs)
    }
  const largest = all.at(-1)
  const plans = largest ? await explainLoads(largest, needs) : []
  const cleanup = largest ? await cleanUp(largest, offline, options, needs) : undefined
  for (const { generators } of all) for (const name of LOAD_NAMES) await generators[name].stop()
  return {
    sizes: all.map((grown, index) => toResult(grown, sizes[index])),
    plans,
    cleanup,
  }
}

async function signInOffline({ sallyport }: GrowthNeeds): Promise<SignedIn> {
  const server = await sallyport.start()
  try {
    return await signInOne(server.target, 0, { offline: true })
  } finally {
    await server.stop()
  }
}

async function grow(
  tokens: number,
  offline: SignedIn,
  { connections }: GrowthOptions,
  { postgres, processes, sallyport }: GrowthNeeds,
): Promise<Grown> {
  const database = `bench_grown_${tokens}`
  const url = await postgres.createDatabase(database, sallyport.database)
  await fillTokens(url, { tokens, offline })
  await postgres.settle(database)
  const start = async (name: LoadName) => {
    const generator = startGenerator(processes)
    await generator.order({ do: 'prepare', scenario: LOADS[name], target: sallyport.target, connections })
    await generator.order({ do: 'stock', count: Math.ceil(tokens / TOKENS_PER_GRANT) })
    return generator
  }
  const generators = { refresh: await start('refresh'), introspection: await start('introspection') }
  return { tokens, database, url, generators, paces: { refresh: [], introspection: [] } }
}

async function measureOne(
  { url, generators, paces }: Grown,
  { seconds, warmUp }: GrowthOptions,
  { sallyport }: GrowthNeeds,
): Promise<void> {
  // Without a checkpoint before: after one, the first change of each page is written twice, and this has more pages.
  await withServer(sallyport, url, async () => {
    for (const name of LOAD_NAMES) {
      await run(generators[name], warmUp)
      paces[name].push(toPace(await run(generators[name], seconds)))
    }
  })
}

async function explainLoads({ database, url, generators }: Grown, needs: GrowthNeeds) {
  const { postgres, sallyport } = needs
  const plans: (Plan & { load: LoadName })[] = []
  await withServer(sallyport, url, async () => {
    for (const load of LOAD_NAMES) {
      let requests = 0
      const statements = await postgres.countStatements(database, async () => {
        requests = (await run(generators[load], COUNTING_SECONDS)).requests
      })
      const explained = statements ? await explainHot(url, statements, requests) : []
      plans.push(...explained.map((plan) => ({ ...plan, load })))
    }
  })
  return plans
}

async function cleanUp(
  { tokens, database, url, generators }: Grown,
  offline: SignedIn,
  { expiredRows: expired, seconds, warmUp }: GrowthOptions,
  { postgres, sallyport, tell }: GrowthNeeds,
): Promise<CleanupResult> {
  tell(`adding ${expired.toLocaleString('en')} expired rows to the largest, and cleaning up under load`)
  const load = {
    warmUp: async () => toPace(await run(generators.refresh, warmUp)),
    run: async () => toPace(await run(generators.refresh, seconds)),
  }
  const before = await withServer(sallyport, url, async () => {
    await load.warmUp()
    return await load.run()
  })
  await addExpiredTokens(url, { expired, tokens, offline })
  await postgres.settle(database)
  const cleaning = startCleaning(() => sallyport.cli(url, 'cleanup', '--json'))
  return await withServer(sallyport, url, () => measureCleanup(load, { cleaning, before }))
}

async function withServer<Result>(
  sallyport: Sallyport,
  url: string,
  work: (server: RunningContender) => Promise<Result>,
): Promise<Result> {
  const server = await sallyport.startOn(url)
  try {
    return await work(server)
  } finally {
    await server.stop()
  }
}

async function run(generator: Generator, seconds: number): Promise<Measurement> {
  const measurement = await generator.order({ do: 'run', seconds })
  if (!measurement || measurement.firstFault !== undefined || measurement.requests === 0)
    throw new Error(`the load failed: ${measurement?.firstFault ?? 'nothing was sent'}`)
  return measurement
}

function toPace({ requests, seconds, p50Milliseconds, p99Milliseconds }: Measurement): Pace {
  return { requestsPerSecond: requests / seconds, p50Milliseconds, p99Milliseconds }
}

function toResult({ tokens, paces }: Grown, sizes: SizeResult['sizes'] | undefined): SizeResult {
  if (!sizes) throw new Error('every database was measured')
  return { tokens, sizes, refresh: medianPace(paces.refresh), introspection: medianPace(paces.introspection) }
}

function medianPace(paces: readonly Pace[]): Pace {
  return {
    requestsPerSecond: median(paces.map(({ requestsPerSecond }) => requestsPerSecond)),
    p50Milliseconds: median(paces.map(({ p50Milliseconds }) => p50Milliseconds)),
    p99Milliseconds: median(paces.map(({ p99Milliseconds }) => p99Milliseconds)),
  }
}
