import { expect, test } from 'vitest'
import { findScanned } from './plans.ts'

test('a table that is read from end to end is found in a plan, however deep, an index scan is not', () => {
  const plan = [
    'Nested Loop',
    '  ->  Index Scan using oidc_token_pkey on oidc_token',
    '  ->  Parallel Seq Scan on oidc_grant',
  ]
  expect(findScanned(plan)).toEqual(['oidc_grant'])
})
