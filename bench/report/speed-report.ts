import { CONTENDERS } from '../contenders/contender.ts'
import { cpuMicroseconds, type ScenarioResult } from './figures.ts'
import type { Report, Row } from './report.ts'
import { judgeSpeed } from './targets.ts'

export function reportSpeed(settings: object, results: readonly ScenarioResult[]): Report {
  const targets = results.flatMap(judgeSpeed)
  return {
    document: { settings, scenarios: results, targets },
    rows: results.flatMap(toRows),
    targets,
    faults: results.flatMap(toFaults),
  }
}

/** CPU and statements are per request. */
function toRows({ scenario, figures }: ScenarioResult): Row[] {
  return CONTENDERS.map((name, index) => {
    const row = figures[name]
    return [
      index === 0 ? scenario : '',
      name,
      {
        'req/s': row.requestsPerSecond,
        'p50 ms': row.p50Milliseconds,
        'p99 ms': row.p99Milliseconds,
        'server µs': row.serverMicroseconds,
        'Postgres µs': row.postgresMicroseconds,
        'sum µs': cpuMicroseconds(row),
        statements: row.statementsPerRequest,
        'generator µs': row.generatorMicroseconds,
      },
    ]
  })
}

function toFaults({ scenario, figures }: ScenarioResult): string[] {
  return CONTENDERS.filter((name) => figures[name].faults > 0).map(
    (name) => `${scenario}, ${name}: ${figures[name].faults} faults, first: ${figures[name].firstFault}`,
  )
}
