import { type ChildProcess, fork, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

const START_MILLISECONDS = 30_000
const STOP_MILLISECONDS = 10_000
const POLL_MILLISECONDS = 50
const LOG_TAIL_CHARACTERS = 2_000

export type Server = Readonly<{ pid: number; stop(): Promise<void> }>
export type Processes = ReturnType<typeof createProcesses>

/**
 * Starts programs, and ends them when the bench ends, for any reason.
 *
 * @param folder of Node's compile cache: the same programs are started repeatedly.
 */
export function createProcesses(folder: string) {
  const living = new Set<ChildProcess>()
  process.once('exit', () => {
    for (const child of living) child.kill('SIGKILL')
  })

  function adopt(child: ChildProcess): ChildProcess {
    living.add(child)
    child.once('exit', () => living.delete(child))
    return child
  }

  /** The environment of a server, without the settings of the bench's own shell. */
  function environment(given: Record<string, string>): Record<string, string> {
    const { PATH = '', HOME = '', TMPDIR } = process.env
    const NODE_COMPILE_CACHE = join(folder, 'compile-cache')
    return {
      ...{ PATH, HOME, ...(TMPDIR ? { TMPDIR } : {}), NODE_ENV: 'production', NODE_COMPILE_CACHE },
      ...given,
    }
  }

  return {
    /** Starts a program that exchanges messages. */
    fork: (program: string): ChildProcess =>
      adopt(fork(program, { env: environment({}), serialization: 'json' })),

    /**
     * Starts a server and waits until it answers. Its output goes into a file.
     *
     * @throws with the end of its log when it exits or stays silent.
     */
    async startServer(
      args: readonly string[],
      { env, readyUrl, logFile }: { env: Record<string, string>; readyUrl: string; logFile: string },
    ): Promise<Server> {
      const log = openSync(logFile, 'w')
      const child = adopt(
        spawn(process.execPath, args, { env: environment(env), stdio: ['ignore', log, log] }),
      )
      closeSync(log)
      const fail = (reason: string) =>
        new Error(
          `${args.join(' ')} ${reason}:\n${readFileSync(logFile, 'utf8').slice(-LOG_TAIL_CHARACTERS)}`,
        )
      const giveUpAt = Date.now() + START_MILLISECONDS
      while (!(await answers(readyUrl))) {
        if (child.exitCode !== null || child.signalCode !== null) throw fail('ended instead of answering')
        if (Date.now() > giveUpAt) {
          child.kill('SIGKILL')
          throw fail('did not answer in time')
        }
        await pause(POLL_MILLISECONDS)
      }
      return { pid: child.pid ?? 0, stop: () => end(child) }
    },

    /** Runs a program to its end. @returns its output. @throws with its error output. */
    async run(
      args: readonly string[],
      { env, input = '' }: { env: Record<string, string>; input?: string },
    ): Promise<string> {
      const child = adopt(spawn(process.execPath, args, { env: environment(env), stdio: 'pipe' }))
      const printed = { stdout: '', stderr: '' }
      for (const name of ['stdout', 'stderr'] as const)
        child[name]?.setEncoding('utf8').on('data', (text: string) => {
          printed[name] += text
        })
      child.stdin?.end(input)
      const code = await new Promise<number | null>((done, fail) => {
        child.once('error', fail)
        child.once('close', done)
      })
      if (code !== 0) throw new Error(`${args.join(' ')} failed:\n${printed.stderr}${printed.stdout}`)
      return printed.stdout
    },
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url)
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}

/** Ends a process with SIGINT, and kills it after a while. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((done) => child.once('exit', done))
  const insist = setTimeout(() => child.kill('SIGKILL'), STOP_MILLISECONDS)
  child.kill('SIGINT')
  await ended
  clearTimeout(insist)
}
