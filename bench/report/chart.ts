import { CONTENDERS, type ContenderName } from '../contenders/contender.ts'
import type { ScenarioResult } from './figures.ts'

const COLOURS: Record<ContenderName, string> = { engine: '#8a94a3', plain: '#c98b2e', sallyport: '#1f6f8b' }
const POSTGRES_OPACITY = 0.45
const WIDTH = 960
const LEFT = 190
const VALUE_WIDTH = 70
const BAR = 14
const GROUP_GAP = 14
const TOP = 56

type Bar = { contender: ContenderName; parts: readonly number[]; label: string }
type Group = { name: string; bars: Bar[] }

/** Two panels of bars: requests per second, and CPU per request with Postgres' part of it lighter. */
export function drawSpeedChart(results: readonly ScenarioResult[], caption: string): string {
  const groups = (toBar: (result: ScenarioResult, contender: ContenderName) => Bar): Group[] =>
    results.map((result) => ({
      name: result.valid ? result.scenario : `${result.scenario} (invalid)`,
      bars: CONTENDERS.map((contender) => toBar(result, contender)),
    }))
  const pace = groups(({ figures }, contender) => {
    const value = figures[contender].requestsPerSecond
    return { contender, parts: [value], label: Math.round(value).toString() }
  })
  const cpu = groups(({ figures }, contender) => {
    const { serverMicroseconds: server = 0, postgresMicroseconds: postgres = 0 } = figures[contender]
    return { contender, parts: [server, postgres], label: `${Math.round(server + postgres)} µs` }
  })
  const first = drawPanel('Requests per second (more is better)', pace, TOP)
  const second = drawPanel(
    'CPU per request: server, and Postgres lighter (less is better)',
    cpu,
    first.bottom + 24,
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${second.bottom + 30}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    ...drawLegend(),
    ...first.lines,
    ...second.lines,
    text(16, second.bottom + 18, caption, 'fill="#666" font-size="10"'),
    '</svg>',
    '',
  ].join('\n')
}

function drawLegend(): string[] {
  return CONTENDERS.flatMap((name, index) => [
    `<rect x="${LEFT + index * 120}" y="14" width="12" height="12" fill="${COLOURS[name]}"/>`,
    text(LEFT + 18 + index * 120, 24, name),
  ])
}

function drawPanel(
  title: string,
  groups: readonly Group[],
  top: number,
): { lines: string[]; bottom: number } {
  const sums = groups.flatMap(({ bars }) => bars.map(({ parts }) => sum(parts)))
  const scale = (WIDTH - LEFT - VALUE_WIDTH) / Math.max(1, ...sums)
  const lines = [text(16, top, title, 'font-weight="600"')]
  let y = top + 12
  for (const { name, bars } of groups) {
    lines.push(text(16, y + (bars.length * BAR) / 2 + 4, name))
    for (const { contender, parts, label } of bars) {
      let x = LEFT
      for (const [index, part] of parts.entries()) {
        const width = part * scale
        lines.push(
          `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 2}" fill="${COLOURS[contender]}" opacity="${index === 0 ? 1 : POSTGRES_OPACITY}"/>`,
        )
        x += width
      }
      lines.push(text(x + 6, y + BAR - 4, label, 'font-size="11"'))
      y += BAR
    }
    y += GROUP_GAP
  }
  return { lines, bottom: y }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function text(x: number, y: number, words: string, attributes = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escapeXml(words)}</text>`
}

function escapeXml(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
