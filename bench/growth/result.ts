import type { Plan } from './plans.ts'
import type { Sizes } from './sizes.ts'

export type Pace = Readonly<{ requestsPerSecond: number; p50Milliseconds: number; p99Milliseconds: number }>

export type SizeResult = Readonly<{
  /** The number of token rows made by SQL; the load adds more. */
  tokens: number
  sizes: Sizes
  refresh: Pace
  introspection: Pace
}>

export type CleanupResult = Readonly<{
  before: Pace
  /** Windows of load while the clean-up ran. */
  beside: readonly Pace[]
  seconds: number
  /** Rows by table, as the command reports them. */
  deleted: Readonly<Record<string, number>>
}>

export type GrowthResult = Readonly<{
  sizes: readonly SizeResult[]
  plans: readonly (Plan & { load: string })[]
  cleanup: CleanupResult | undefined
}>
