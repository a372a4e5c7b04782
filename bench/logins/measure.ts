import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Target } from '../contenders/contender.ts'
import type { Sallyport } from '../contenders/sallyport.ts'
import type { Measurement } from '../load/closed-loop.ts'
import { type Generator, startGenerator } from '../load/generator.ts'
import type { Postgres } from '../postgres.ts'
import type { Processes } from '../processes.ts'
import { median } from '../report/statistics.ts'
import { measureArgon2 } from './argon2-limit.ts'
import type { CrowdOrder } from './crowd-process.ts'
import type { Crowd, Faults, LoginsResult } from './result.ts'

const CROWD = join(import.meta.dirname, 'crowd-process.ts')
/** The crowd starts this long before the measurement and ends this long after it. */
const MOST_MARGIN_SECONDS = 2
const FILE_CONNECTIONS = 2
const FILE_RATE = 50

export type LoginsOptions = Readonly<{
  people: number
  rate: number
  connections: number
  warmUp: number
  seconds: number
  rounds: number
}>

type Needs = Readonly<{
  processes: Processes
  postgres: Postgres
  sallyport: Sallyport
  tell: (progress: string) => void
}>

type Phase = Readonly<{ token: Measurement; file: Measurement }>
type Round = Readonly<{ alone: Phase; beside: Phase; crowd: Crowd & Faults }>

/** Measures token requests alone, then beside many sign-ins on the same server. */
export async function measureLogins(options: LoginsOptions, needs: Needs): Promise<LoginsResult> {
  const { sallyport, postgres, processes, tell } = needs
  tell('argon2 alone')
  const machinePasswordsPerSecond = await measureArgon2(options.seconds)
  const { target, stop } = await sallyport.start()
  const load = createLoad(target, options, processes)
  try {
    await postgres.settle(sallyport.database)
    await load.prepare()
    const margin = Math.min(MOST_MARGIN_SECONDS, options.warmUp)
    const rounds: Round[] = []
    for (let round = 1; round <= options.rounds; round++) {
      const suffix = options.rounds > 1 ? `, round ${round}` : ''
      tell(`tokens alone${suffix}`)
      const alone = await load.run()
      tell(`tokens beside ${options.people} sign-ins${suffix}`)
      const seconds = options.warmUp + options.seconds + 2 * margin
      // The first people are used for the token refreshes.
      const signingIn = signIn({ target, firstPerson: options.connections, seconds }, processes)
      await pause(margin * 1000)
      const beside = await load.run()
      rounds.push({ alone, beside, crowd: await signingIn })
    }
    return summarise(rounds, { ...options, machinePasswordsPerSecond })
  } finally {
    await load.stop()
    await stop()
  }
}

/**
 * A refresh uses the event loop, libuv's threads (it signs an ID token) and the database, so it waits for all of them.
 * Each load runs in a process of its own, so that neither delays the other.
 */
function createLoad(
  target: Target,
  { connections, rate, warmUp, seconds }: LoginsOptions,
  processes: Processes,
) {
  const token = startGenerator(processes)
  const file = startGenerator(processes)
  const both = (phaseSeconds: number) =>
    Promise.all([
      measure(token, { seconds: phaseSeconds, rate }),
      measure(file, { seconds: phaseSeconds, rate: FILE_RATE }),
    ])
  return {
    async prepare() {
      await token.order({ do: 'prepare', scenario: 'refresh-rotation', target, connections })
      await file.order({ do: 'prepare', scenario: 'static-file', target, connections: FILE_CONNECTIONS })
    },
    async run(): Promise<Phase> {
      await both(warmUp)
      const [ofToken, ofFile] = await both(seconds)
      return { token: ofToken, file: ofFile }
    },
    stop: () => Promise.all([token.stop(), file.stop()]),
  }
}

async function measure(generator: Generator, order: { seconds: number; rate: number }): Promise<Measurement> {
  const measurement = await generator.order({ do: 'run', ...order })
  if (!measurement || measurement.requests === 0)
    throw new Error(`no request was answered: ${measurement?.firstFault ?? 'nothing was sent'}`)
  return measurement
}

async function signIn(order: CrowdOrder, processes: Processes): Promise<Crowd & Faults> {
  return JSON.parse(await processes.run([CROWD], { env: {}, input: JSON.stringify(order) }))
}

function summarise(
  rounds: readonly Round[],
  { people, rate, ...known }: Pick<LoginsResult, 'people' | 'rate' | 'machinePasswordsPerSecond'>,
): LoginsResult {
  const of = (pick: (round: Round) => number) => median(rounds.map(pick))
  const load = (phase: 'alone' | 'beside') => {
    const pace = (name: keyof Phase) => ({
      requests: of((round) => round[phase][name].requests),
      p50Milliseconds: of((round) => round[phase][name].p50Milliseconds),
      p99Milliseconds: of((round) => round[phase][name].p99Milliseconds),
    })
    return { token: pace('token'), file: pace('file') }
  }
  const all = rounds.flatMap(({ alone, beside, crowd }) => [
    ...[alone.token, alone.file],
    ...[beside.token, beside.file, crowd],
  ])
  return {
    people,
    rate,
    alone: load('alone'),
    beside: load('beside'),
    crowd: {
      accepted: of(({ crowd }) => crowd.accepted),
      busy: of(({ crowd }) => crowd.busy),
      throttled: of(({ crowd }) => crowd.throttled),
      seconds: of(({ crowd }) => crowd.seconds),
      acceptedP50Milliseconds: of(({ crowd }) => crowd.acceptedP50Milliseconds),
      acceptedP99Milliseconds: of(({ crowd }) => crowd.acceptedP99Milliseconds),
    },
    machinePasswordsPerSecond: known.machinePasswordsPerSecond,
    faults: all.reduce((sum, { faults }) => sum + faults, 0),
    firstFault: all.find(({ firstFault }) => firstFault !== undefined)?.firstFault,
  }
}
