import type { Target } from '../contenders/contender.ts'
import type { Load } from './closed-loop.ts'

/** One kind of request that all contenders answer. */
export type Scenario = Readonly<{
  /** Makes sign-ins, tokens or device codes for the load. Not measured. */
  prepare(target: Target, connections: number): Promise<PreparedLoad>
}>

export type PreparedLoad = Load &
  Readonly<{
    /** Makes single-use values, one per request. Not measured. */
    stock?(count: number): Promise<void>
  }>
