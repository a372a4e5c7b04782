import { Client, type Dispatcher } from 'undici'
import { percentile } from '../report/statistics.ts'

export type Request = Readonly<{
  method: 'GET' | 'POST'
  path: string
  headers?: Record<string, string>
  body?: string
}>
export type Answer = Readonly<{ status: number; location: string; text: string }>

/** The requests of the connections. A connection takes its next request when the last one was answered. */
export type Load = Readonly<{
  /** @returns undefined when this connection has no more requests. */
  next(connection: number): Request | undefined
  /** @returns a description of a wrong answer, undefined for a right one. */
  check(answer: Answer, connection: number): string | undefined
}>

export type Measurement = Readonly<{
  requests: number
  seconds: number
  p50Milliseconds: number
  p99Milliseconds: number
  /** The number of wrong answers, and the first of them. */
  faults: number
  firstFault: string | undefined
  /** CPU seconds of the load generator itself. */
  cpuSeconds: number
}>

const FAULT_CHARACTERS = 300

/**
 * Sends requests on a number of connections, one at a time on each, until the time is over or no request is left.
 * Waits for open requests at the end: without the response, a connection would lose its refresh token.
 */
export async function runClosedLoop(
  origin: string,
  load: Load,
  { connections, seconds }: { connections: number; seconds: number },
): Promise<Measurement> {
  const latencies: number[] = []
  let faults = 0
  let firstFault: string | undefined
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const endAt = startedAt + seconds * 1000
  let finishedAt = startedAt

  function note(fault: string): void {
    faults += 1
    firstFault ??= fault.slice(0, FAULT_CHARACTERS)
  }

  async function keepBusy(connection: number): Promise<void> {
    const client = new Client(origin, { pipelining: 1 })
    for (;;) {
      const sentAt = performance.now()
      const request = sentAt < endAt ? load.next(connection) : undefined
      if (!request) break
      try {
        const answer = await send(client, request)
        finishedAt = performance.now()
        latencies.push(finishedAt - sentAt)
        const fault = load.check(answer, connection)
        if (fault !== undefined) note(`${request.method} ${request.path.split('?')[0]}: ${fault}`)
      } catch (error) {
        note(String(error))
      }
    }
    await client.close()
  }

  await Promise.all(Array.from({ length: connections }, (_, connection) => keepBusy(connection)))
  const { user, system } = process.cpuUsage(cpuBefore)
  const sorted = Float64Array.from(latencies).sort()
  return {
    requests: latencies.length,
    seconds: (finishedAt - startedAt) / 1000,
    p50Milliseconds: percentile(sorted, 0.5),
    p99Milliseconds: percentile(sorted, 0.99),
    faults,
    firstFault,
    cpuSeconds: (user + system) / 1_000_000,
  }
}

/** Uses undici's dispatcher, which takes a third of the CPU of `fetch`; the servers share this machine. */
export function send(client: Client, { method, path, headers = {}, body }: Request): Promise<Answer> {
  return new Promise((done, fail) => {
    let status = 0
    let location = ''
    const parts: Buffer[] = []
    const handler: Dispatcher.DispatchHandler = {
      onResponseStart(_controller, statusCode, answered) {
        status = statusCode
        location = typeof answered.location === 'string' ? answered.location : ''
      },
      onResponseData: (_controller, part) => void parts.push(part),
      onResponseEnd: () => done({ status, location, text: Buffer.concat(parts).toString() }),
      onResponseError: (_controller, error) => fail(error),
      onRequestStart() {},
    }
    client.dispatch({ method, path, headers, ...(body === undefined ? {} : { body }) }, handler)
  })
}
