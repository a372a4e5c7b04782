import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { shiftClock } from './clock.ts'
import { COMPILE_CACHE } from './compile-cache.ts'
import { freePort } from './database-server.ts'

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname
const START_MILLISECONDS = 20_000
const LOOK_MILLISECONDS = 20

export type ChildServer = Readonly<{
  url: string
  managementUrl: string
  /** The output so far, over all starts. */
  output: () => string
  /** Sends SIGKILL. Resolves when the process has ended. */
  kill: () => Promise<void>
  /** Whether the process runs: false also after a crash. */
  isAlive: () => boolean
  /** Starts the server again on the same ports. Resolves when it is ready. */
  start: () => Promise<void>
  /** Ends the server. Resolves with its exit code; null when a signal ended it. */
  stop: (signal?: NodeJS.Signals) => Promise<number | null>
  /** Sends a signal without waiting. */
  send: (signal: NodeJS.Signals) => void
}>

/**
 * Starts a server in a separate process that can be killed; it ends with this process at the latest.
 *
 * @param clockAheadSeconds how far the clock of the process is ahead.
 */
export async function startChildServer(
  settings: Record<string, string>,
  {
    clockAheadSeconds = 0,
    nodeArguments = [],
  }: { clockAheadSeconds?: number; nodeArguments?: readonly string[] } = {},
): Promise<ChildServer> {
  const [port, managementPort] = [await freePort(), await freePort()]
  const managementUrl = `http://127.0.0.1:${managementPort}`
  const env = {
    PATH: process.env.PATH ?? '',
    ...COMPILE_CACHE,
    ...settings,
    PORT: String(port),
    MANAGEMENT_PORT: String(managementPort),
  }
  const written: string[] = []
  let child: ChildProcess | undefined
  const end = () => void child?.kill('SIGKILL')
  process.once('exit', end)

  const isAlive = () => child !== undefined && child.exitCode === null && child.signalCode === null

  async function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const ending = child
    if (!ending || !isAlive()) return ending?.exitCode ?? null
    const gone = new Promise<number | null>((done) => ending.once('exit', done))
    ending.kill(signal)
    return await gone
  }

  async function start(): Promise<void> {
    const argv = [...shiftClock(clockAheadSeconds), ...nodeArguments, MAIN, 'serve']
    child = spawn(process.execPath, argv, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => written.push(chunk.toString()))
    const deadline = Date.now() + START_MILLISECONDS
    while (!(await isServing(managementUrl))) {
      if (!isAlive() || Date.now() > deadline)
        throw new Error(`the child server does not start:\n${written.join('')}`)
      await pause(LOOK_MILLISECONDS)
    }
  }

  await start()
  const output = () => written.join('')
  const kill = async () => void (await stop('SIGKILL'))
  const send = (signal: NodeJS.Signals) => void child?.kill(signal)
  return { url: `http://localhost:${port}`, managementUrl, output, kill, isAlive, start, stop, send }
}

/** Whether all readiness checks pass, except that of the clock, which tests shift. */
async function isServing(managementUrl: string): Promise<boolean> {
  try {
    const { checks } = (await (await fetch(`${managementUrl}/health/ready`)).json()) as {
      checks?: Record<string, boolean>
    }
    // A starting server answers with an error.
    return checks !== undefined && Object.values({ ...checks, clock: true }).every(Boolean)
  } catch {
    return false
  }
}
