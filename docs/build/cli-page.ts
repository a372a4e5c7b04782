import type { Command } from 'commander'
import { createProgram } from '../../src/cli/program.ts'
import { GENERATED, table } from './table.ts'
import { createSilentTerminal } from './terminal.ts'

const INTRODUCTION = `In a checkout, type \`npx sallyport …\`; with Docker Compose,
\`docker compose -f docker/compose.yaml exec server sallyport …\`, and \`exec -T\` where something is piped in or out. Each command
prints its options with \`--help\`.

- **Where it works.** A command reads the same settings as the server (\`DATABASE_URL\`, \`ENCRYPTION_KEY\`, …). On Postgres it
  works on the database. On the embedded database it asks the running server through a socket in \`DATA_DIR\`; when no
  server runs, it opens the database itself.
- **Output.** With \`--json\`, standard output is one JSON document and nothing else. Names in it are the standard metadata
  names (\`client_id\`, \`redirect_uris\`, \`sub\`). Errors go to standard error.
- **Exit codes.** 0: done. 1: failed. 2: wrong usage.
- **Questions.** A command that deletes or ends something asks first. \`--yes\` answers; without a terminal it is required.
- **Secrets** of new clients, and passwords that Sallyport makes, are printed once. They are stored as hashes.`

/** Generates the reference of all commands from their help. */
export function cliPage(): string {
  const program = createProgram(createSilentTerminal().terminal)
  const commands = leavesOf(program)
  return [
    GENERATED,
    '# Command line',
    INTRODUCTION,
    table(
      ['Command', 'What it does'],
      commands.map((command) => [`[\`${nameOf(command)}\`](#${anchorOf(command)})`, command.description()]),
    ),
    ...commands.flatMap(sectionOf),
    '',
  ].join('\n\n')
}

function leavesOf(command: Command): Command[] {
  return command.commands.flatMap((child) => (child.commands.length > 0 ? leavesOf(child) : [child]))
}

function sectionOf(command: Command): string[] {
  const help = command.createHelp()
  const options = help
    .visibleOptions(command)
    .filter(({ long }) => long !== '--help')
    .map((option) => [
      `\`${help.optionTerm(option)}\``,
      `${option.mandatory ? 'required: ' : ''}${help.optionDescription(option)}`,
    ])
  const words = command.registeredArguments.map((argument) => `<${help.argumentTerm(argument)}>`)
  const usage = ['sallyport', nameOf(command), ...words, ...(options.length > 0 ? ['[options]'] : [])].join(
    ' ',
  )
  return [
    `## ${nameOf(command)}`,
    sentence(command.description()),
    `\`\`\`text\n${usage}\n\`\`\``,
    ...(options.length > 0 ? [table(['Option', 'Meaning'], options)] : []),
  ]
}

function nameOf(command: Command): string {
  const { parent } = command
  return parent?.parent ? `${nameOf(parent)} ${command.name()}` : command.name()
}

function anchorOf(command: Command): string {
  return nameOf(command).replaceAll(' ', '-')
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}
