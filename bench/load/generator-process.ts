import type { Target } from '../contenders/contender.ts'
import { type Measurement, runClosedLoop } from './closed-loop.ts'
import { FILE_SCENARIO } from './file-scenario.ts'
import { GROWN_SCENARIOS } from './grown-scenarios.ts'
import type { PreparedLoad } from './scenario.ts'
import { SCENARIOS } from './scenarios.ts'
import { runSteadyLoad } from './steady-load.ts'

/** A message to the load generator. The bench waits for the reply before it sends the next. */
export type Order =
  | { do: 'prepare'; scenario: keyof typeof ALL; target: Target; connections: number }
  | { do: 'stock'; count: number }
  /** In a closed loop, or at a rate per second. */
  | { do: 'run'; seconds: number; rate?: number }

export type Reply = { measurement: Measurement | undefined } | { error: string }

const ALL = { ...SCENARIOS, ...GROWN_SCENARIOS, ...FILE_SCENARIO }

/** The load generator runs in a process of its own, so that its CPU time is not counted as a server's. */
let prepared: { load: PreparedLoad; target: Target; connections: number } | undefined

process.on('message', (order: Order) => {
  obey(order)
    .then((measurement): Reply => ({ measurement }))
    .catch((error: Error): Reply => ({ error: error.stack ?? String(error) }))
    .then((reply) => process.send?.(reply))
})

async function obey(order: Order): Promise<Measurement | undefined> {
  if (order.do === 'prepare') {
    const { scenario, target, connections } = order
    prepared = { load: await ALL[scenario].prepare(target, connections), target, connections }
    return undefined
  }
  if (!prepared) throw new Error('nothing is prepared')
  const { load, target, connections } = prepared
  if (order.do === 'run') {
    const { seconds, rate } = order
    return rate === undefined
      ? await runClosedLoop(target.origin, load, { connections, seconds })
      : await runSteadyLoad(target.origin, load, { connections, seconds, rate })
  }
  await load.stock?.(order.count)
  return undefined
}
