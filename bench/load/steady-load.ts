import { setTimeout as pause } from 'node:timers/promises'
import { Client } from 'undici'
import { percentile } from '../report/statistics.ts'
import { type Load, type Measurement, send } from './closed-loop.ts'

/**
 * Sends requests at fixed times over a number of connections. Latency is measured from the time a request was due, so a
 * stalled server does not get fewer requests (coordinated omission).
 */
export async function runSteadyLoad(
  origin: string,
  load: Load,
  { connections, seconds, rate }: { connections: number; seconds: number; rate: number },
): Promise<Measurement> {
  const latencies: number[] = []
  const faults: string[] = []
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const stepMilliseconds = (connections * 1000) / rate

  async function keepPace(connection: number): Promise<void> {
    const client = new Client(origin, { pipelining: 1 })
    const firstAt = startedAt + (connection * 1000) / rate
    for (let dueAt = firstAt; dueAt < startedAt + seconds * 1000; dueAt += stepMilliseconds) {
      await pause(Math.max(0, dueAt - performance.now()))
      const request = load.next(connection)
      if (!request) break
      try {
        const answer = await send(client, request)
        latencies.push(performance.now() - dueAt)
        const fault = load.check(answer, connection)
        if (fault !== undefined) faults.push(fault)
      } catch (error) {
        faults.push(String(error))
      }
    }
    await client.close()
  }

  await Promise.all(Array.from({ length: connections }, (_, connection) => keepPace(connection)))
  const { user, system } = process.cpuUsage(cpuBefore)
  const sorted = Float64Array.from(latencies).sort()
  return {
    requests: latencies.length,
    seconds: (performance.now() - startedAt) / 1000,
    p50Milliseconds: percentile(sorted, 0.5),
    p99Milliseconds: percentile(sorted, 0.99),
    faults: faults.length,
    firstFault: faults[0],
    cpuSeconds: (user + system) / 1_000_000,
  }
}
