/** The result of a measurement: one JSON document for scripts, and one table with targets for people. */
export type Report = Readonly<{
  document: object
  rows: readonly Row[]
  targets: readonly Target[]
  /** Wrong answers of a server. With one of them the measurement is invalid. */
  faults: readonly string[]
}>

/** A line of the table: the subject of the measurement, its load, and figures by heading. Unknown figures are undefined. */
export type Row = readonly [
  subject: string,
  load: string,
  figures: Readonly<Record<string, number | undefined>>,
]

export type Target = Readonly<{
  subject: string
  metric: string
  bound: 'at least' | 'at most'
  limit: number
  value: number | undefined
  /** undefined when the value is unknown, or an answer was wrong. */
  met: boolean | undefined
}>

/** Compares a value with its limit. An unknown value is neither met nor missed. */
export function judge(target: Omit<Target, 'met'>): Target {
  const { bound, limit, value } = target
  const met = value === undefined ? undefined : bound === 'at least' ? value >= limit : value <= limit
  return { ...target, met }
}

export function formatReport({ rows, targets, faults }: Omit<Report, 'document'>): string {
  const headings = [...new Set(rows.flatMap(([, , figures]) => Object.keys(figures)))]
  const toCells = ([subject, load, figures]: Row) => [
    subject,
    load,
    ...headings.map((heading) => (heading in figures ? formatNumber(figures[heading]) : '')),
  ]
  return [
    formatTable([['', '', ...headings], ...rows.map(toCells)]),
    ...faults.map((fault) => `INVALID ${fault}`),
    '',
    ...targets.map(formatTarget),
  ].join('\n')
}

function formatTarget({ subject, metric, bound, limit, value, met }: Target): string {
  const verdict = met === undefined ? 'unknown' : met ? 'met' : 'MISSED'
  return `${verdict.padEnd(7)}  ${subject}: ${metric} ${formatNumber(value)}, ${bound} ${limit}`
}

/** Two columns of text, then right-aligned numbers. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const pad = (cell: string, column: number) =>
    column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n')
}

/** Counts in full, other values with three significant digits: a measurement of seconds is no more precise. */
export function formatNumber(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return 'n/a'
  if (Number.isInteger(value)) return String(value)
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return value.toFixed(Math.min(digits, 2))
}
