#!/usr/bin/env node
import { run } from './cli/program.ts'

const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => stopping.abort())
}

const { argv, env, stdin, stdout, stderr } = process
process.exitCode = await run(argv.slice(2), { env, stdin, stdout, stderr, signal: stopping.signal })
