import { expect, test } from 'vitest'
import { createLog } from '../../log.ts'
import { createMetrics } from '../../metrics.ts'
import { createOverloadNotices } from './load-limit.ts'

test('logs refused requests once a minute, and counts all of them', async () => {
  const lines: Record<string, unknown>[] = []
  const log = createLog(
    { level: 'info', format: 'json' },
    { write: (line: string) => lines.push(JSON.parse(line)) },
  )
  const metrics = createMetrics()
  let milliseconds = 0
  const notice = createOverloadNotices({ log, metrics, now: () => new Date(milliseconds) })
  for (let refused = 0; refused < 5; refused++) notice('in_flight')
  notice('pipelined')
  expect(lines).toMatchObject([{ level: 'warn', event: 'requests.refused', in_flight: 1, pipelined: 0 }])
  milliseconds += 60_000
  notice('pipelined')
  expect(lines).toHaveLength(2)
  expect(lines[1]).toMatchObject({ in_flight: 4, pipelined: 2 })
  const rendered = await metrics.render()
  expect(rendered).toContain('sallyport_requests_refused_total{reason="in_flight"} 5')
  expect(rendered).toContain('sallyport_requests_refused_total{reason="pipelined"} 2')
})
