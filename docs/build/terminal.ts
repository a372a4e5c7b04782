import { PassThrough } from 'node:stream'
import type { Terminal } from '../../src/cli/output/terminal.ts'

/** A terminal without a process, whose output can be read. */
export function createSilentTerminal(env: Terminal['env'] = {}, input = '') {
  const written = { stdout: '', stderr: '' }
  const stream = (name: keyof typeof written) =>
    new PassThrough().on('data', (chunk) => {
      written[name] += chunk
    })
  const stdin = new PassThrough()
  stdin.end(input)
  const terminal: Terminal = {
    env,
    stdin,
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    signal: new AbortController().signal,
    ignoreFurtherSignals: () => {},
  }
  return { terminal, written }
}
