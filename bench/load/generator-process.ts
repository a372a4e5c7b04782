import type { Target } from '../contenders/contender.ts'
import { type Measurement, runClosedLoop } from './closed-loop.ts'
import { GROWN_SCENARIOS, type GrownScenarioName } from './grown-scenarios.ts'
import type { PreparedLoad } from './scenario.ts'
import { SCENARIOS, type ScenarioName } from './scenarios.ts'

/** What the bench tells its load generator, one at a time. */
export type Order =
  | { do: 'prepare'; scenario: ScenarioName | GrownScenarioName; target: Target; connections: number }
  | { do: 'stock'; count: number }
  | { do: 'run'; seconds: number }

export type Reply = { measurement: Measurement | undefined } | { error: string }

const ALL = { ...SCENARIOS, ...GROWN_SCENARIOS }

/** The load generator's process: the servers' CPU time must not have the generator's in it. */
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
  if (order.do === 'run')
    return await runClosedLoop(target.origin, load, { connections, seconds: order.seconds })
  await load.stock?.(order.count)
  return undefined
}
