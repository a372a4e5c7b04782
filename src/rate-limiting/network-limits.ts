import { networksOf } from './network.ts'
import type { Counted, Limit } from './rate-limiter.ts'

/** A limit per network; `of` divides it further, by name or by client. */
type NetworkLimit = Readonly<{ limit: Limit; of?: string }>

/**
 * Counts an address in each of its networks, so that rotating through an IPv6 prefix does not evade a limit. Wider
 * networks have larger budgets.
 *
 * @returns one stage per network, narrowest first: a refused stage uses up nothing of the wider networks.
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
