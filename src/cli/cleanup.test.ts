import { expect, test } from 'vitest'
import { describeBacklog } from './cleanup.ts'

test('cleanup --dry-run marks a capped count as a lower bound', () => {
  const rows = {
    tokens: 100_000,
    sessions: 100_000,
    browsers: 0,
    artifacts: 0,
    answers: 0,
    grants: 3,
    attempts: 0,
    links: 0,
    events: 0,
  }
  expect(describeBacklog({ ...rows, at_least: ['tokens'] })).toMatchObject({
    tokens: 'at least 100000',
    sessions: '100000',
    grants: '3',
  })
  expect(describeBacklog(rows)).toMatchObject({ tokens: '100000' })
})
