import type { Measurement } from '../load/closed-loop.ts'

/** Latencies of requests that were sent at fixed times, whether the one before had been answered or not. */
export type SteadyPace = Pick<Measurement, 'requests' | 'p50Milliseconds' | 'p99Milliseconds'>

export type TokenLoad = Readonly<{
  token: SteadyPace
  /** A file that the server has in memory: its event loop, and nothing else, makes it wait. */
  file: SteadyPace
}>

/** Sign-in forms that were sent, by what came of them. */
export type Crowd = Readonly<{
  accepted: number
  busy: number
  throttled: number
  seconds: number
  /** From sending the form to being let in. */
  acceptedP50Milliseconds: number
  acceptedP99Milliseconds: number
}>

/** What was wrong with answers, if anything was. */
export type Faults = Pick<Measurement, 'faults' | 'firstFault'>

/** Of several rounds, the medians. */
export type LoginsResult = Faults &
  Readonly<{
    people: number
    rate: number
    alone: TokenLoad
    beside: TokenLoad
    crowd: Crowd
    /** What all of libuv's threads verify on this machine when nothing else runs. */
    machinePasswordsPerSecond: number
  }>
