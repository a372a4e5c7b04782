import type { EventDocument } from '../../admin/events.ts'
import { describeUserAgent } from '../../http/pages/user-agent.ts'
import { toPrintable } from './printable.ts'

const LINE_WIDTH = 120
const GAP = '  '
const NONE = '-'

/** The columns and their greatest widths. JSON has the uncut values. */
const COLUMNS: readonly { most: number; of: (event: EventDocument) => string | undefined }[] = [
  { most: 20, of: ({ occurred_at }) => `${occurred_at.replace('T', ' ').slice(0, 19)}Z` },
  { most: 28, of: ({ type }) => type },
  { most: 20, of: ({ username, account }) => username ?? account },
  { most: 16, of: ({ client_id }) => client_id },
  // An IPv6 address may be cut after its network.
  { most: 26, of: ({ address }) => address },
]

/**
 * Formats events, one per line, in columns that grow with their content. Names and user agents come from outside, so
 * control characters in them are escaped.
 */
export function createEventLines(): (events: readonly EventDocument[]) => string[] {
  const widths = COLUMNS.map(() => 1)

  return (events) => {
    const rows = events.map((event) => ({
      cells: COLUMNS.map(({ most, of }) => cut(toPrintable(of(event) ?? NONE), most)),
      rest: toPrintable(describe(event)),
    }))
    for (const { cells } of rows)
      for (const [index, cell] of cells.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length)
    return rows.map(({ cells, rest }) => {
      const columns = cells.map((cell, index) => cell.padEnd(widths[index] ?? 0))
      return cut([...columns, rest].join(GAP).trimEnd(), LINE_WIDTH)
    })
  }
}

function describe({ detail = {}, user_agent }: EventDocument): string {
  const parts = Object.entries(detail).map(([name, value]) => `${name}=${describeValue(name, value)}`)
  if (user_agent !== undefined) parts.push(`(${describeUserAgent(user_agent)})`)
  return parts.join(' ')
}

function describeValue(name: string, value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value)
  return name.startsWith('user_agent') ? describeUserAgent(value) : value
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text
}
