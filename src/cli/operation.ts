import type { Command } from 'commander'
import type { Admin } from '../admin/admin.ts'
import { confirm, printResult, type Terminal } from './output/terminal.ts'
import { withAdmin } from './with-admin.ts'

/** The options of every command that calls an operation. */
export type OperationOptions = { json?: boolean; yes?: boolean }

type Operation<Options, Result> = Readonly<{
  /** Asked before a destructive operation. */
  question?: (name: string, options: Options) => string
  /** @param name the argument of the command; empty when it takes none. */
  call: (admin: Admin, name: string, options: Options) => Promise<Result>
  print: (result: Result, name: string) => string
}>

/** Completes a command: it asks for confirmation if there is a question, calls an operation, and prints the result. */
export function addOperation<Options extends OperationOptions, Result>(
  terminal: Terminal,
  command: Command,
  { question, call, print }: Operation<Options, Result>,
): void {
  if (question) command.option('--yes', 'do not ask for confirmation')
  command.option('--json', 'print one JSON document').action(async () => {
    const [name = ''] = command.args
    const options = command.opts<Options>()
    if (question) await confirm(terminal, options, question(name, options))
    await perform(terminal, options, {
      call: (admin) => call(admin, name, options),
      print: (result) => print(result, name),
    })
  })
}

/** Calls an operation and prints its result. */
export async function perform<Result>(
  terminal: Terminal,
  options: OperationOptions,
  { call, print }: { call: (admin: Admin) => Promise<Result>; print: (result: Result) => string },
): Promise<void> {
  printResult(terminal, options, await withAdmin(terminal, call), print)
}

/** Adds the value of an option that may be repeated. */
export function collect(value: string, before: string[] = []): string[] {
  return [...before, value]
}

/**
 * The input of an operation: each member has the name of its option in snake case.
 *
 * @param names the members that have other names, by option.
 */
export function toMembers(
  { json, yes, ...options }: Readonly<Record<string, unknown>>,
  names: Readonly<Record<string, string>> = {},
): Record<string, unknown> {
  const members = Object.entries(options).map(([option, value]) => [
    names[option] ?? toSnakeCase(option),
    value,
  ])
  return Object.fromEntries(members)
}

function toSnakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
