import { expect, test } from 'vitest'
import type { EventDocument } from '../../admin/events.ts'
import { createEventLines } from './event-line.ts'

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'
const event = (more: Partial<EventDocument> = {}): EventDocument => ({
  id: '01990000-0000-7000-8000-000000000000',
  occurred_at: '2026-11-03T09:00:00.123Z',
  type: 'session.created',
  ...more,
})

test('aligns events in columns: time, type, user, client, address, detail, user agent', () => {
  const lines = createEventLines()([
    event({ username: 'ada', address: '203.0.113.7', user_agent: FIREFOX, detail: { amr: ['pwd'] } }),
    event({
      type: 'client.updated',
      client_id: 'site',
      detail: { by: 'operator', changed: ['client_name'] },
    }),
  ])
  expect(lines).toEqual([
    '2026-11-03 09:00:00Z  session.created  ada  -     203.0.113.7  amr=["pwd"] (Firefox on Linux)',
    '2026-11-03 09:00:00Z  client.updated   -    site  -            by=operator changed=["client_name"]',
  ])
})

test('widens columns with their content and never narrows them', () => {
  const toLines = createEventLines()
  toLines([event({ username: 'margaret', address: '::1' })])
  expect(toLines([event({ username: 'ada', address: '::1' })])).toEqual([
    '2026-11-03 09:00:00Z  session.created  ada       -  ::1',
  ])
})

test('cuts lines to 120 characters, and keeps the network of the address', () => {
  const [line = ''] = createEventLines()([
    event({
      type: 'session.used_after_expiry',
      username: 'somebody.with.a.very.long.name@harbour.example',
      client_id: '0d2d6f0e-5f1b-4a53-8d59-9f6c4a8b7d11',
      address: '2001:0db8:1234:5678:9abc:def0:1234:5678',
      detail: { limit: 'absolute' },
    }),
  ])
  expect(line.length).toBeLessThanOrEqual(120)
  expect(line).toContain('2001:0db8:1234:5678')
})

test('escapes control characters from outside (CWE-150)', () => {
  const [line = ''] = createEventLines()([
    event({
      user_agent: '\u001b]0;owned\u0007\n\u202eeve',
      detail: { user_agent_before: '\u001b[2J', address_before: '\u009b31m' },
    }),
  ])
  expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u)
})
