import { expect, test } from 'vitest'
import { findScanned } from './plans.ts'

test('finds nested sequential scans, and no index scans', () => {
  const plan = [
    'Nested Loop',
    '  ->  Index Scan using oidc_token_pkey on oidc_token',
    '  ->  Parallel Seq Scan on oidc_grant',
  ]
  expect(findScanned(plan)).toEqual(['oidc_grant'])
})
