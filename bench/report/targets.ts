import type { ScenarioName } from '../load/scenarios.ts'
import { cpuMicroseconds, type Figures, type ScenarioResult } from './figures.ts'

type Metric = 'toEngine' | 'toPlain' | 'cpuToEngine' | 'statements'

type Limits = Partial<Record<Metric, number>>

/** What Sallyport sets out to reach on two cores that generator, server and Postgres share. */
export const TARGETS: Record<ScenarioName, Limits> = {
  'client-credentials-opaque': { toEngine: 0.9, toPlain: 2, cpuToEngine: 1.4, statements: 1 },
  'client-credentials-jwt': { cpuToEngine: 1.4, statements: 0 },
  'code-exchange': { toEngine: 0.75, cpuToEngine: 2, statements: 2 },
  'refresh-rotation': { toEngine: 0.75, cpuToEngine: 2, statements: 2 },
  introspection: { toEngine: 0.75, cpuToEngine: 2, statements: 1 },
  userinfo: { toEngine: 0.75, cpuToEngine: 2, statements: 1 },
  'device-poll-pending': { cpuToEngine: 2 },
  'sso-authorize': { cpuToEngine: 2, statements: 3 },
}

const METRIC_WORDS: Record<Metric, string> = {
  toEngine: 'requests/s over the engine’s',
  toPlain: 'requests/s over the plain adapter’s',
  cpuToEngine: 'server + Postgres CPU over the engine’s',
  statements: 'statements per request',
}

/** A request now and then brings a statement of its own, such as a heartbeat: that is no statement per request. */
const STATEMENT_SLACK = 0.02
/** From here on a resource is full: what is left is the scheduler's. */
const FULL = 0.85

export type Verdict = Readonly<{
  scenario: ScenarioName
  metric: Metric
  words: string
  limit: number
  /** Whether the limit is the least or the most that is good. */
  bound: 'least' | 'most'
  value: number | undefined
  /** undefined when it could not be measured, or the scenario is invalid. */
  met: boolean | undefined
  /** What keeps a missed target from being met. */
  because: string | undefined
}>

/** Holds a result against its targets. */
export function judge(result: ScenarioResult, cores: number): Verdict[] {
  const { scenario, ratios, figures, valid } = result
  const values: Record<Metric, number | undefined> = {
    ...ratios,
    statements: figures.sallyport.statementsPerRequest,
  }
  return Object.entries(TARGETS[scenario]).map(([name, limit]) => {
    const metric = name as Metric
    const value = values[metric]
    const bound = metric === 'toEngine' || metric === 'toPlain' ? 'least' : 'most'
    const slack = metric === 'statements' ? STATEMENT_SLACK : 0
    const met =
      value === undefined || !valid ? undefined : bound === 'least' ? value >= limit : value <= limit + slack
    const because = met === false ? explain(metric, result, cores) : undefined
    return { scenario, metric, words: METRIC_WORDS[metric], limit, bound, value, met, because }
  })
}

/** Says where the time of a request goes, from the measured CPU alone. */
function explain(metric: Metric, { figures }: ScenarioResult, cores: number): string {
  const { sallyport, engine } = figures
  if (metric === 'statements') return 'the server sends that many'
  const ours = cpuMicroseconds(sallyport)
  const theirs = cpuMicroseconds(engine)
  if (ours === undefined || theirs === undefined) return 'no CPU times are known on this system'
  const shares = `per request: server ${micro(sallyport.serverMicroseconds)} (engine ${micro(theirs)}), Postgres ${micro(sallyport.postgresMicroseconds)}`
  if (metric === 'cpuToEngine') return shares
  const all = usedCores(sallyport, ours + sallyport.generatorMicroseconds)
  const own = usedCores(sallyport, sallyport.serverMicroseconds ?? 0)
  if (all >= FULL * cores)
    return `all ${cores} cores are busy; ${shares}, generator ${micro(sallyport.generatorMicroseconds)}`
  if (own >= FULL)
    return `the server uses a core of its own to the full, and its JavaScript runs in one thread; ${shares}`
  return `nobody is busy all the time (${all.toFixed(2)} of ${cores} cores): waiting for Postgres, commits above all; ${shares}`
}

function usedCores({ requestsPerSecond }: Figures, microseconds: number): number {
  return (requestsPerSecond * microseconds) / 1_000_000
}

function micro(value: number | undefined): string {
  return value === undefined ? 'n/a' : `${Math.round(value)} µs`
}
