import { describe, expect, test } from 'vitest'
import type { ExpiredRows } from '../db/expired-rows.ts'
import { createCleanup } from './cleanup.ts'

/** A table with this number of expired rows. */
const tableOf = (rows: number): ExpiredRows => ({
  deleteExpired: async () => 0,
  countExpired: async (_ageSeconds, most) => Math.min(rows, most),
})

function countBacklog({ tokens = 0, events = 0 }: { tokens?: number; events?: number }) {
  const empty = tableOf(0)
  return createCleanup({
    tables: {
      tokens: tableOf(tokens),
      events: tableOf(events),
      sessions: empty,
      browsers: empty,
      artifacts: empty,
      answers: empty,
      grants: empty,
      attempts: empty,
      links: empty,
    },
    runAlone: async (work) => await work(),
    eventRetentionSeconds: 3_600,
  }).count()
}

describe('the count of expired rows', () => {
  test('is exact up to 100,000', async () => {
    expect(await countBacklog({ tokens: 100_000 })).toMatchObject({ rows: { tokens: 100_000 }, capped: [] })
  })

  test('names the tables that hold more', async () => {
    expect(await countBacklog({ tokens: 100_001, events: 2_000_000 })).toMatchObject({
      rows: { tokens: 100_000, events: 100_000, grants: 0 },
      capped: ['tokens', 'events'],
    })
  })
})
