import { Client, type Dispatcher } from 'undici'
import { percentile } from '../report/statistics.ts'

export type Request = Readonly<{
  method: 'GET' | 'POST'
  path: string
  headers?: Record<string, string>
  body?: string
}>
export type Answer = Readonly<{ status: number; location: string; text: string }>

/** What the connections send: each asks for its next request when it has the answer to the one before. */
export type Load = Readonly<{
  /** @returns undefined when there is nothing left to send on this connection. */
  next(connection: number): Request | undefined
  /** @returns what is wrong with an answer, if anything. */
  check(answer: Answer, connection: number): string | undefined
}>

export type Measurement = Readonly<{
  requests: number
  seconds: number
  p50Milliseconds: number
  p99Milliseconds: number
  /** How many answers were not what they had to be, and what the first of them was. */
  faults: number
  firstFault: string | undefined
  /** CPU seconds of the load generator itself. */
  cpuSeconds: number
}>

const FAULT_CHARACTERS = 300

/**
 * Keeps a number of connections busy, each with one request at a time, as long as told or until nothing is left.
 * Requests under way at the end are waited for: a refresh token whose answer is thrown away could not be used again.
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

/** The dispatcher's own interface: a third of the CPU of fetch, which the servers have more use for. */
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
