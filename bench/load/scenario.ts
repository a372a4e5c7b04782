import type { Target } from '../contenders/contender.ts'
import type { Load } from './closed-loop.ts'

/** One kind of request that all contenders answer. */
export type Scenario = Readonly<{
  /** Makes what the load needs: sign-ins, tokens, device codes. Not measured. */
  prepare(target: Target, connections: number): Promise<PreparedLoad>
}>

export type PreparedLoad = Load &
  Readonly<{
    /** Makes so many of what each request uses up. Not measured. */
    stock?(count: number): Promise<void>
  }>
