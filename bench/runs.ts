import { createEngineContender } from './contenders/engine.ts'
import { type GrowthOptions, measureGrowth } from './growth/measure.ts'
import type { Installation } from './installation.ts'
import { SESSIONS_PER_CONNECTION } from './load/scenarios.ts'
import { type LoginsOptions, measureLogins } from './logins/measure.ts'
import { reportGrowth } from './report/growth-report.ts'
import { reportLogins } from './report/logins-report.ts'
import type { Report } from './report/report.ts'
import { reportSpeed } from './report/speed-report.ts'
import { measureSpeed, type SpeedOptions } from './speed.ts'

/** A measurement of the bench. */
export type Run<Options> = Readonly<{
  /** The number of people to register. */
  people(options: Options): number
  measure(options: Options, installation: Installation): Promise<Report>
}>

export const SPEED: Run<SpeedOptions> = {
  people: ({ connections }) => connections * SESSIONS_PER_CONNECTION,
  async measure(options, installation) {
    const contenders = {
      engine: await createEngineContender('engine', installation),
      plain: await createEngineContender('plain', installation),
      sallyport: installation.sallyport,
    }
    const { scenarios, ...settings } = options
    return reportSpeed(settings, await measureSpeed(options, { ...installation, contenders }))
  },
}

export const GROWTH: Run<GrowthOptions> = {
  people: () => 1,
  measure: async (settings, installation) =>
    reportGrowth(settings, await measureGrowth(settings, installation)),
}

export const LOGINS: Run<LoginsOptions> = {
  people: ({ connections, people }) => connections + people,
  measure: async (settings, installation) =>
    reportLogins(settings, await measureLogins(settings, installation)),
}
