#!/usr/bin/env node
import { run } from './cli/program.ts'

// What any command writes, such as the embedded database, its key and its socket, is for this user alone.
process.umask(0o077)

const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => stopping.abort())
}

/** A fault of ours: running requests may finish, and whoever watches the process starts it again. */
let crashed = false
process.on('uncaughtException', (error) => {
  process.stderr.write(`${error.stack ?? error}\n`)
  crashed = true
  stopping.abort()
})

const { argv, env, stdin, stdout, stderr } = process
const exitCode = await run(argv.slice(2), { env, stdin, stdout, stderr, signal: stopping.signal })
process.exitCode = crashed ? 1 : exitCode
