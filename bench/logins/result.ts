import type { Measurement } from '../load/closed-loop.ts'

/** Latencies of requests at a fixed rate (an open loop). */
export type SteadyPace = Pick<Measurement, 'requests' | 'p50Milliseconds' | 'p99Milliseconds'>

type TokenLoad = Readonly<{
  token: SteadyPace
  /** A static file from memory: it waits for the event loop only. */
  file: SteadyPace
}>

/** The number of sign-in forms sent, by outcome. */
export type Crowd = Readonly<{
  accepted: number
  busy: number
  throttled: number
  seconds: number
  /** From sending the form to the redirect. */
  acceptedP50Milliseconds: number
  acceptedP99Milliseconds: number
}>

/** The number of wrong answers, and the first of them. */
export type Faults = Pick<Measurement, 'faults' | 'firstFault'>

/** Medians over the rounds. */
export type LoginsResult = Faults &
  Readonly<{
    people: number
    rate: number
    alone: TokenLoad
    beside: TokenLoad
    crowd: Crowd
    /** Verified by all libuv threads while the machine does nothing else. */
    machinePasswordsPerSecond: number
  }>
