import type { Installation } from './installation.ts'
import { SCENARIO_NAMES } from './load/scenarios.ts'
import type { Report } from './report/report.ts'
import { GROWTH, LOGINS, SPEED } from './runs.ts'

const MOMENT = { seconds: 0.1, warmUp: 0.1, connections: 2, rounds: 1 }
const SPEED_OPTIONS = { ...MOMENT, scenarios: SCENARIO_NAMES, keepsServers: true }
const GROWTH_OPTIONS = { ...MOMENT, rows: [1_000], expiredRows: 1_000 }
const LOGINS_OPTIONS = { ...MOMENT, seconds: 0.5, people: 4, rate: 50 }

/** Options that run every measurement for a moment, to check the answers; the figures mean nothing. */
export const SMOKE = {
  people: Math.max(SPEED.people(SPEED_OPTIONS), GROWTH.people(GROWTH_OPTIONS), LOGINS.people(LOGINS_OPTIONS)),
  async measure(installation: Installation): Promise<Record<'speed' | 'growth' | 'logins', Report>> {
    return {
      speed: await SPEED.measure(SPEED_OPTIONS, installation),
      growth: await GROWTH.measure(GROWTH_OPTIONS, installation),
      logins: await LOGINS.measure(LOGINS_OPTIONS, installation),
    }
  },
}
