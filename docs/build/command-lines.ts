import type { Command } from 'commander'
import { benchCommand } from '../../bench/options.ts'
import { createProgram } from '../../src/cli/program.ts'
import { codeBlocksOf, inlineCodeOf, type Page } from './markdown.ts'
import { commandsIn } from './shell.ts'
import { createSilentTerminal } from './terminal.ts'

const PROGRAM = 'sallyport'
/** Words that precede the program in a command; after others, `sallyport` names a database or a role. */
const RUNNERS = [undefined, 'npx', 'server', 'do']

/** Checks the command lines of a page: unknown commands and options, missing arguments. */
export function commandLineFaults(page: Page): string[] {
  const whole = codeBlocksOf(page)
    .filter(({ info }) => info === 'sh')
    .flatMap(({ text }) => commandsIn(text))
    .flatMap((words) => faultsOf(words, { isWhole: true }))
  const inline = inlineCodeOf(page)
    .filter((code) => code.startsWith(`${PROGRAM} `))
    .flatMap((code) => commandsIn(code).slice(0, 1))
    .flatMap((words) => faultsOf(words, { isWhole: false }))
  return [...whole, ...inline]
}

type Given = {
  /** Whether it is a complete command line; a mention may leave arguments out. */
  isWhole: boolean
}

function faultsOf(words: readonly string[], given: Given): string[] {
  const line = words.join(' ')
  const own = words.indexOf(PROGRAM)
  if (own >= 0 && RUNNERS.includes(words[own - 1]))
    return check(createProgram(createSilentTerminal().terminal), words.slice(own + 1), given).map(
      (fault) => `${line}: ${fault}`,
    )
  const bench = words.indexOf('bench')
  if (bench < 0 || words[0] !== 'npm') return []
  const nothing = async () => {}
  const program = benchCommand({ speed: nothing, growth: nothing, logins: nothing, smoke: nothing })
  return check(
    program,
    words.slice(bench + 1).filter((word) => word !== '--'),
    given,
  ).map((fault) => `${line}: ${fault}`)
}

function check(program: Command, words: readonly string[], { isWhole }: Given): string[] {
  let command = program
  let rest = [...words]
  for (let child = childOf(command, rest); child; child = childOf(command, rest)) {
    command = child
    rest = rest.slice(1)
  }
  if (command.commands.length > 0 && rest[0] !== undefined && !rest[0].startsWith('-'))
    return [`there is no command ${rest[0]}`]
  const { operands, unknown } = command.parseOptions(rest)
  const most = command.registeredArguments.length
  const least = command.registeredArguments.filter(({ required }) => required).length
  const missing = command.options.filter(
    (option) => option.mandatory && command.getOptionValue(option.attributeName()) === undefined,
  )
  return [
    ...unknown.filter((word) => word !== '--help').map((word) => `there is no option ${word}`),
    ...(operands.length > most ? [`takes ${most} arguments, not ${operands.length}`] : []),
    ...(isWhole && operands.length < least ? [`takes ${least} arguments, not ${operands.length}`] : []),
    ...(isWhole ? missing.map(({ long }) => `${long} is missing`) : []),
  ]
}

function childOf(command: Command, [word]: readonly string[]): Command | undefined {
  return command.commands.find((child) => child.name() === word)
}
