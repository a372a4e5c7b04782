import type { ContenderName } from '../contenders/contender.ts'
import type { ScenarioName } from '../load/scenarios.ts'
import { median, medianKnown } from './statistics.ts'

/** The figures of one contender in one scenario; undefined where this system cannot measure them. */
export type Figures = Readonly<{
  requests: number
  seconds: number
  requestsPerSecond: number
  p50Milliseconds: number
  p99Milliseconds: number
  /** CPU time per request. */
  serverMicroseconds: number | undefined
  postgresMicroseconds: number | undefined
  generatorMicroseconds: number
  statementsPerRequest: number | undefined
  /** The number of wrong answers. With one of them the scenario is invalid. */
  faults: number
  firstFault: string | undefined
}>

export type ScenarioResult = Readonly<{
  scenario: ScenarioName
  valid: boolean
  figures: Readonly<Record<ContenderName, Figures>>
  /** Requests per second of Sallyport over those of the other two, and CPU per request over the engine's. */
  ratios: Readonly<{ toEngine: number; toPlain: number; cpuToEngine: number | undefined }>
}>

/** Takes the median of every figure over the rounds. Ratios are taken within a round, where conditions were alike. */
export function summarise(
  scenario: ScenarioName,
  rounds: readonly Readonly<Record<ContenderName, Figures>>[],
): ScenarioResult {
  const figuresOf = (name: ContenderName) => medianFigures(rounds.map((round) => round[name]))
  const figures = {
    engine: figuresOf('engine'),
    plain: figuresOf('plain'),
    sallyport: figuresOf('sallyport'),
  }
  const ratio = (of: (figures: Figures) => number | undefined, to: ContenderName) =>
    medianKnown(
      rounds.map((round) => {
        const [ours, theirs] = [of(round.sallyport), of(round[to])]
        return ours === undefined || theirs === undefined ? undefined : ours / theirs
      }),
    )
  const pace = ({ requestsPerSecond }: Figures) => requestsPerSecond
  return {
    scenario,
    valid: Object.values(figures).every(({ faults }) => faults === 0),
    figures,
    ratios: {
      toEngine: ratio(pace, 'engine') ?? Number.NaN,
      toPlain: ratio(pace, 'plain') ?? Number.NaN,
      cpuToEngine: ratio(cpuMicroseconds, 'engine'),
    },
  }
}

/** CPU per request of the server and its Postgres together. */
export function cpuMicroseconds({ serverMicroseconds, postgresMicroseconds }: Figures): number | undefined {
  return serverMicroseconds === undefined || postgresMicroseconds === undefined
    ? undefined
    : serverMicroseconds + postgresMicroseconds
}

function medianFigures(rounds: readonly Figures[]): Figures {
  const of = (pick: (figures: Figures) => number) => median(rounds.map(pick))
  const known = (pick: (figures: Figures) => number | undefined) => medianKnown(rounds.map(pick))
  return {
    requests: of(({ requests }) => requests),
    seconds: of(({ seconds }) => seconds),
    requestsPerSecond: of(({ requestsPerSecond }) => requestsPerSecond),
    p50Milliseconds: of(({ p50Milliseconds }) => p50Milliseconds),
    p99Milliseconds: of(({ p99Milliseconds }) => p99Milliseconds),
    serverMicroseconds: known(({ serverMicroseconds }) => serverMicroseconds),
    postgresMicroseconds: known(({ postgresMicroseconds }) => postgresMicroseconds),
    generatorMicroseconds: of(({ generatorMicroseconds }) => generatorMicroseconds),
    statementsPerRequest: known(({ statementsPerRequest }) => statementsPerRequest),
    faults: rounds.reduce((sum, { faults }) => sum + faults, 0),
    firstFault: rounds.find(({ firstFault }) => firstFault !== undefined)?.firstFault,
  }
}
