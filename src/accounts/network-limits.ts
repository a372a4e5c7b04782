import { networksOf } from './network.ts'
import type { Counted, Limit } from './throttle.ts'

/** A limit of networks, and what it counts of each: a name, a client; nothing when it counts all of it. */
type NetworkLimit = Readonly<{ limit: Limit; of?: string }>

/**
 * Counts an address in each of its networks, so that no prefix of IPv6 walks around a limit. Wider networks have larger
 * budgets.
 *
 * @returns a stage for each network, narrowest first: one that is refused uses up nothing of those around it.
 */
export function byNetworks(address: string, ...limits: readonly NetworkLimit[]): Counted[][] {
  return networksOf(address).map(({ prefix, budget }) =>
    limits.map(({ limit, of }) => ({
      limit,
      of: of === undefined ? prefix : `${prefix} ${of}`,
      times: budget,
    })),
  )
}
