import { spawn } from 'node:child_process'
import { Readable, Writable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { run } from '../../src/cli/program.ts'
import { COMPILE_CACHE } from './compile-cache.ts'

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname
const LOOK_MILLISECONDS = 20

export type Output = { code: number | null; stdout: string; stderr: string }

export type RunningCommand = ReturnType<typeof startCommand>

/** Starts a command in a separate process; `execArgv` are arguments for Node. */
export function startCommand(
  words: readonly string[],
  env: Record<string, string>,
  execArgv: readonly string[] = [],
) {
  const child = spawn(process.execPath, [...execArgv, MAIN, ...words], {
    env: { ...COMPILE_CACHE, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk
  })
  const exit = new Promise<number | null>((done) => child.on('close', done))
  const writes = async (stream: keyof typeof output, text: string): Promise<void> => {
    while (!output[stream].includes(text)) {
      if (child.exitCode !== null)
        throw new Error(`it ended with ${child.exitCode}: ${output.stdout}${output.stderr}`)
      await pause(LOOK_MILLISECONDS)
    }
  }
  return {
    child,
    exit,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    prints: (text: string) => writes('stdout', text),
    warns: (text: string) => writes('stderr', text),
  }
}

/** Runs a command to its end in a separate process; `execArgv` are arguments for Node. */
export async function runCommand(
  words: readonly string[],
  env: Record<string, string>,
  input: string | Uint8Array = '',
  execArgv: readonly string[] = [],
): Promise<Output> {
  const running = startCommand(words, env, execArgv)
  running.child.stdin.on('error', () => {})
  running.child.stdin.end(input)
  const code = await running.exit
  return { code, stdout: running.stdout(), stderr: running.stderr() }
}

/**
 * Runs a command to its end in this process. A separate process costs 0.4 s of CPU, and 2 s where it opens the embedded
 * database: use {@link runCommand} only where the process itself is tested.
 */
export async function runCommandInProcess(
  words: readonly string[],
  env: Record<string, string>,
  input: string | Uint8Array = '',
): Promise<Output> {
  const [stdout, stderr] = [collect(), collect()]
  const code = await run(words, {
    env,
    stdin: Readable.from([Buffer.from(input)]),
    stdout: stdout.stream,
    stderr: stderr.stream,
    signal: new AbortController().signal,
    ignoreFurtherSignals: () => {},
  })
  return { code, stdout: stdout.text(), stderr: stderr.text() }
}

function collect(): { stream: Writable; text: () => string } {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
  return { stream, text: () => Buffer.concat(chunks).toString() }
}
