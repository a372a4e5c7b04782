import { createEngineContender } from './contenders/engine.ts'
import { type GrowthOptions, measureGrowth } from './growth/measure.ts'
import type { Installation } from './installation.ts'
import { SESSIONS_PER_CONNECTION } from './load/scenarios.ts'
import { type LoginsOptions, measureLogins } from './logins/measure.ts'
import { drawGrowthChart, formatGrowthReport, judgeGrowth } from './report/growth-report.ts'
import { drawLoginsChart, formatLoginsReport, judgeLogins } from './report/logins-report.ts'
import { drawSpeedChart } from './report/speed-chart.ts'
import { formatSpeedReport } from './report/speed-report.ts'
import { judge } from './report/targets.ts'
import { measureSpeed, type SpeedOptions } from './speed.ts'

export type Report = Readonly<{
  /** Whether every answer was correct. */
  isValid: boolean
  /** For scripts. */
  document: object
  /** For people. */
  text: () => string
  chart: Readonly<{ name: string; draw: (caption: string) => string }>
}>

/** A measurement of the bench. */
type Run<Options> = Readonly<{
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
    const results = await measureSpeed({ ...settings, scenarios }, { ...installation, contenders })
    const verdicts = results.flatMap((result) => judge(result, installation.machine.cores))
    return {
      isValid: results.every(({ valid }) => valid),
      document: { settings, scenarios: results, targets: verdicts },
      text: () => formatSpeedReport(results, verdicts),
      chart: { name: 'speed.svg', draw: (caption) => drawSpeedChart(results, caption) },
    }
  },
}

export const GROWTH: Run<GrowthOptions> = {
  people: () => 1,
  async measure(settings, installation) {
    const result = await measureGrowth(settings, installation)
    const verdicts = judgeGrowth(result)
    return {
      isValid: true, // A wrong answer ends the run at once.
      document: { settings, ...result, targets: verdicts },
      text: () => formatGrowthReport(result, verdicts),
      chart: { name: 'growth.svg', draw: (caption) => drawGrowthChart(result, caption) },
    }
  },
}

export const LOGINS: Run<LoginsOptions> = {
  people: ({ connections, people }) => connections + people,
  async measure(settings, installation) {
    const result = await measureLogins(settings, installation)
    const verdicts = judgeLogins(result)
    return {
      isValid: result.faults === 0,
      document: { settings, ...result, targets: verdicts },
      text: () => formatLoginsReport(result, verdicts),
      chart: { name: 'logins.svg', draw: (caption) => drawLoginsChart(result, caption) },
    }
  },
}
