import { expect, test } from 'vitest'
import { createLog } from '../../log.ts'
import { createProxyNotices } from './proxy-notices.ts'

const HOUR_MILLISECONDS = 3_600_000

function openNotices() {
  const clock = { milliseconds: Date.parse('2026-11-28T09:00:00Z') }
  const lines: Record<string, unknown>[] = []
  const log = createLog(
    { level: 'info', format: 'json' },
    { write: (line: string) => lines.push(JSON.parse(line)) },
  )
  return { clock, lines, notices: createProxyNotices({ log, now: () => new Date(clock.milliseconds) }) }
}

test('logs an untrusted proxy once an hour, with its address and the setting', () => {
  const { clock, lines, notices } = openNotices()
  for (let request = 0; request < 3; request++) notices.record('10.0.0.5', 'untrusted')
  notices.record('10.0.0.6', 'untrusted')
  expect(lines).toMatchObject([
    { level: 'warn', event: 'proxy.untrusted', peer: '10.0.0.5', setting: 'TRUSTED_PROXIES' },
  ])
  clock.milliseconds += HOUR_MILLISECONDS - 1
  notices.record('10.0.0.5', 'untrusted')
  expect(lines).toHaveLength(1)
  clock.milliseconds += 1
  notices.record('10.0.0.5', 'untrusted')
  expect(lines).toHaveLength(2)
})

test('logs each fault for itself', () => {
  const { lines, notices } = openNotices()
  notices.record('10.0.0.5', 'untrusted')
  notices.record('10.0.0.5', 'unreadable')
  expect(lines.map(({ event }) => event)).toEqual(['proxy.untrusted', 'proxy.unreadable'])
})

test('lists proxies for an hour after their last request', () => {
  const { clock, notices } = openNotices()
  notices.record('10.0.0.5', 'untrusted')
  clock.milliseconds += HOUR_MILLISECONDS - 1
  notices.record('10.0.0.6', 'unreadable')
  expect(notices.list()).toHaveLength(2)
  clock.milliseconds += 1
  expect(notices.list()).toEqual([expect.stringContaining('10.0.0.6 is in TRUSTED_PROXIES')])
})

test('keeps a proxy in use on the list while other peers send the header', () => {
  const { notices } = openNotices()
  for (let peer = 0; peer < 100; peer++) {
    notices.record('10.0.0.5', 'untrusted')
    notices.record(`2001:db8::${peer}`, 'untrusted')
  }
  expect(notices.list().length).toBeLessThanOrEqual(5)
  expect(notices.list().join()).toContain('10.0.0.5 forwards requests')
})
