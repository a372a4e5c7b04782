import type { ScenarioName } from '../load/scenarios.ts'
import type { ScenarioResult } from './figures.ts'
import { judge, type Target } from './report.ts'

const METRICS = {
  toEngine: { metric: 'requests/s over the engine’s', bound: 'at least' },
  toPlain: { metric: 'requests/s over the plain adapter’s', bound: 'at least' },
  cpuToEngine: { metric: 'server + Postgres CPU over the engine’s', bound: 'at most' },
  statements: { metric: 'statements per request', bound: 'at most' },
} as const
type Metric = keyof typeof METRICS

/** Goals for two cores that generator, server and Postgres share. */
const TARGETS: Record<ScenarioName, Partial<Record<Metric, number>>> = {
  'client-credentials-opaque': { toEngine: 0.9, toPlain: 2, cpuToEngine: 1.4, statements: 1 },
  'client-credentials-jwt': { cpuToEngine: 1.4, statements: 0 },
  'code-exchange': { toEngine: 0.75, cpuToEngine: 2, statements: 2 },
  'refresh-rotation': { toEngine: 0.75, cpuToEngine: 2, statements: 2 },
  introspection: { toEngine: 0.75, cpuToEngine: 2, statements: 1 },
  userinfo: { toEngine: 0.75, cpuToEngine: 2, statements: 1 },
  'device-poll-pending': { cpuToEngine: 2 },
  'sso-authorize': { cpuToEngine: 2, statements: 3 },
}

/** Allows for statements that no request causes, such as a heartbeat. */
const STATEMENT_SLACK = 0.02

/** Compares a scenario with its targets. A scenario with a wrong answer meets none of them. */
export function judgeSpeed({ scenario, ratios, figures, valid }: ScenarioResult): Target[] {
  const { statementsPerRequest: statements } = figures.sallyport
  const values: Record<Metric, number | undefined> = { ...ratios, statements }
  return Object.entries(TARGETS[scenario]).map(([name, limit]) => {
    const metric = name as Metric
    const slack = metric === 'statements' ? STATEMENT_SLACK : 0
    const value = valid ? values[metric] : undefined
    return judge({ ...METRICS[metric], subject: scenario, limit: limit + slack, value })
  })
}
