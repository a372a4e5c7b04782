const WIDTH = 960
const LEFT = 190
const VALUE_WIDTH = 110
const BAR = 14
const GROUP_GAP = 14
const FIRST_PANEL = 56
const PANEL_GAP = 24
const SECOND_PART_OPACITY = 0.45

export type Bar = Readonly<{ colour: string; parts: readonly number[]; label: string }>
export type Panel = Readonly<{
  title: string
  groups: readonly Readonly<{ name: string; bars: readonly Bar[] }>[]
}>
export type Legend = readonly Readonly<{ name: string; colour: string }>[]

/** Panels of horizontal bars as an SVG document. A bar's second part is lighter. */
export function drawBars(
  panels: readonly Panel[],
  { legend, caption }: { legend: Legend; caption: string },
): string {
  const lines: string[] = []
  let y = FIRST_PANEL
  for (const panel of panels) {
    const drawn = drawPanel(panel, y)
    lines.push(...drawn.lines)
    y = drawn.bottom + PANEL_GAP
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y + 10}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    ...legend.flatMap(({ name, colour }, index) => [
      `<rect x="${LEFT + index * 120}" y="14" width="12" height="12" fill="${colour}"/>`,
      text(LEFT + 18 + index * 120, 24, name),
    ]),
    ...lines,
    text(16, y, caption, 'fill="#666" font-size="10"'),
    '</svg>',
    '',
  ].join('\n')
}

function drawPanel({ title, groups }: Panel, top: number): { lines: string[]; bottom: number } {
  const sums = groups.flatMap(({ bars }) => bars.map(({ parts }) => sum(parts)))
  const scale = (WIDTH - LEFT - VALUE_WIDTH) / Math.max(Number.MIN_VALUE, ...sums)
  const lines = [text(16, top, title, 'font-weight="600"')]
  let y = top + 12
  for (const { name, bars } of groups) {
    lines.push(text(16, y + (bars.length * BAR) / 2 + 4, name))
    for (const { colour, parts, label } of bars) {
      let x = LEFT
      for (const [index, part] of parts.entries()) {
        const width = part * scale
        const opacity = index === 0 ? 1 : SECOND_PART_OPACITY
        lines.push(
          `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 2}" fill="${colour}" opacity="${opacity}"/>`,
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
