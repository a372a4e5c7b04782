/**
 * Room cli/: the command line, one file per noun: each parses options, calls an operation of admin/ and prints the result.
 * This file lists the commands and turns errors into exit codes. output/ prints, try/ is the relying party of `sallyport
 * try`.
 */

import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { DatabaseConnectionError, isUnavailable, reasonOf } from '../db/database-error.ts'
import { cleanupCommand } from './cleanup.ts'
import { clientsCommand } from './clients.ts'
import { doctorCommand } from './doctor.ts'
import { eventsCommand } from './events.ts'
import { healthcheckCommand } from './healthcheck.ts'
import { keysCommand } from './keys.ts'
import { migrateCommand } from './migrate.ts'
import { type Terminal, UsageError } from './output/terminal.ts'
import { resourcesCommand } from './resources.ts'
import { serveCommand } from './serve.ts'
import { tryCommand } from './try/command.ts'
import { usersCommand } from './users.ts'

const FAILED = 1
const WRONG_USAGE = 2

/** Defines every command without running any. */
export function createProgram(terminal: Terminal): Command {
  const { stdout, stderr } = terminal
  const program = new Command('sallyport')
    .description('A standalone OAuth 2.0 and OpenID Connect authorization server.')
    .version(version(), '--version')
    .helpCommand(true)
    .addCommand(serveCommand(terminal), { isDefault: true })
    .addCommand(migrateCommand(terminal))
    .addCommand(clientsCommand(terminal))
    .addCommand(usersCommand(terminal))
    .addCommand(resourcesCommand(terminal))
    .addCommand(keysCommand(terminal))
    .addCommand(eventsCommand(terminal))
    .addCommand(cleanupCommand(terminal))
    .addCommand(tryCommand(terminal))
    .addCommand(doctorCommand(terminal))
    .addCommand(healthcheckCommand(terminal))
  for (const command of withSubcommands(program)) {
    command.exitOverride().configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
    })
  }
  return program
}

/** Runs one command line. @returns the exit code: 0 success, 1 failure, 2 wrong usage. */
export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const program = createProgram(terminal)
  try {
    refuseUnknownCommand(program, words)
    await program.parseAsync([...words], { from: 'user' })
    return 0
  } catch (error) {
    // commander has printed its message already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_USAGE
    terminal.stderr.write(`${explain(error)}\n`)
    return error instanceof UsageError ? WRONG_USAGE : FAILED
  }
}

/** commander would pass an unknown word to the default command, which would report too many arguments. */
function refuseUnknownCommand(program: Command, [first]: readonly string[]): void {
  const names = ['help', ...program.commands.map((command) => command.name())]
  if (first === undefined || first.startsWith('-') || names.includes(first)) return
  throw new UsageError(`There is no command ${first}. Commands: ${names.join(', ')}.`)
}

/**
 * Errors whose message is enough, by name: importing their classes would load the engine and the databases for every
 * command.
 */
const EXPECTED = new Set([
  'Error',
  'AdminError',
  'ConfigError',
  'DataFolderInUseError',
  'DataFolderRefusedError',
  'DataFolderSilentError',
  'MigrationError',
  'MissingKeyError',
  'UnhealthyError',
  'UsageError',
  'WrongMasterKeyError',
])

/** Unexpected errors are printed with their stack. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof DatabaseConnectionError) return error.message
  if (isUnavailable(error)) return `The database does not answer: ${reasonOf(error)}`
  if ('code' in error && error.code === 'EADDRINUSE')
    return `${error.message}: another program listens there. Choose another PORT or MANAGEMENT_PORT.`
  return EXPECTED.has(error.name) ? error.message : (error.stack ?? error.message)
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)]
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return String(JSON.parse(text).version)
}
