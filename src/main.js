#!/usr/bin/env node
/**
 * The process edge: arguments, environment, signals, exit codes. `main.ts` is a symbolic link to this file. It is
 * JavaScript so that an old Node, which cannot load a .ts file, and a checkout without its packages report the fault in
 * one sentence.
 */
const OLDEST_NODE = 24

// Files that a command creates (database, key, socket) are private to this user.
process.umask(0o077)

/** @type {const} */
const SIGNALS = ['SIGINT', 'SIGTERM']
const stopping = new AbortController()
// A second signal ends the process at once, unless the command asked to ignore further signals.
for (const signal of SIGNALS)
  process.once(signal, () => stopping.abort(Object.assign(new Error(`ended by ${signal}`), { signal })))
const ignoreFurtherSignals = () => {
  for (const signal of SIGNALS) process.on(signal, () => {})
}

// Without this, a closed stderr would be an uncaught error, whose report writes to stderr again, without end.
process.stderr.on('error', () => {})

/** After an uncaught error, running requests finish and the supervisor restarts the process. */
process.on('uncaughtException', (error) => {
  process.stderr.write(`${error.stack ?? error}\n`)
  process.exitCode = 1
  stopping.abort()
})

const { argv, env, stdin, stdout, stderr } = process
const program = await loadProgram()
const exitCode = program
  ? await program.run(argv.slice(2), {
      env,
      stdin,
      stdout,
      stderr,
      signal: stopping.signal,
      ignoreFurtherSignals,
    })
  : 1
process.exitCode ||= exitCode

async function loadProgram() {
  if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) {
    stderr.write(
      `Sallyport needs Node ${OLDEST_NODE} or newer, and this is ${process.version}. In a checkout, npm ci installs the right one: run npm ci, then npm start or npx sallyport.\n`,
    )
    return undefined
  }
  try {
    return await import('./cli/program.ts')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error
    stderr.write('The packages that Sallyport needs are not installed: run npm ci.\n')
    return undefined
  }
}
