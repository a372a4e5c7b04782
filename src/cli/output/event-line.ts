import type { EventDocument } from '../../admin/events.ts'
import { describeUserAgent } from '../../http/pages/user-agent.ts'
import { toPrintable } from './printable.ts'

const LINE_WIDTH = 120
const GAP = '  '
const NONE = '-'

/** What a column shows, and how wide it may grow; JSON has all of it. */
const COLUMNS: readonly { most: number; of: (event: EventDocument) => string | undefined }[] = [
  { most: 20, of: ({ occurred_at }) => `${occurred_at.replace('T', ' ').slice(0, 19)}Z` },
  { most: 28, of: ({ type }) => type },
  { most: 20, of: ({ username, account }) => username ?? account },
  { most: 16, of: ({ client_id }) => client_id },
  // An IPv6 address may be cut behind its network.
  { most: 26, of: ({ address }) => address },
]

/**
 * Writes events one a line, in columns as wide as what they have held so far: those that are given at once are aligned
 * from the first. Names and browsers are what others chose to send: nothing in them may steer the terminal.
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
