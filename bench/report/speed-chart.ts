import { CONTENDERS, type ContenderName } from '../contenders/contender.ts'
import { type Bar, drawBars, type Panel } from './bars.ts'
import type { Figures, ScenarioResult } from './figures.ts'

const COLOURS: Record<ContenderName, string> = { engine: '#8a94a3', plain: '#c98b2e', sallyport: '#1f6f8b' }

/** Two panels of bars: requests per second, and CPU per request with Postgres' part of it lighter. */
export function drawSpeedChart(results: readonly ScenarioResult[], caption: string): string {
  const panel = (title: string, toBar: (figures: Figures) => Omit<Bar, 'colour'>): Panel => ({
    title,
    groups: results.map(({ scenario, valid, figures }) => ({
      name: valid ? scenario : `${scenario} (invalid)`,
      bars: CONTENDERS.map((name) => ({ colour: COLOURS[name], ...toBar(figures[name]) })),
    })),
  })
  const panels = [
    panel('Requests per second (more is better)', ({ requestsPerSecond }) => ({
      parts: [requestsPerSecond],
      label: Math.round(requestsPerSecond).toString(),
    })),
    panel(
      'CPU per request: server, and Postgres lighter (less is better)',
      ({ serverMicroseconds: server = 0, postgresMicroseconds: postgres = 0 }) => ({
        parts: [server, postgres],
        label: `${Math.round(server + postgres)} µs`,
      }),
    ),
  ]
  const legend = CONTENDERS.map((name) => ({ name, colour: COLOURS[name] }))
  return drawBars(panels, { legend, caption })
}
