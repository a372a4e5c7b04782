import { Command } from 'commander'
import type { PersonDocument } from '../admin/people.ts'
import { confirm, printResult, readSecret, type Terminal, toFields, toTable, UsageError } from './terminal.ts'
import { withAdmin } from './with-admin.ts'

type OutputOptions = { json?: boolean }
type CreateOptions = OutputOptions & {
  username: string
  email?: string
  emailVerified?: boolean
  name?: string
  givenName?: string
  familyName?: string
  locale?: string
  zoneinfo?: string
  passwordStdin?: boolean
}

export function usersCommand(terminal: Terminal): Command {
  const users = new Command('users').description('add and change the people who sign in')

  users
    .command('create')
    .description('add a person')
    .requiredOption('--username <username>', 'what they sign in with')
    .option('--email <address>', 'they can sign in with this too')
    .option('--email-verified', 'the address is known to be theirs')
    .option('--name <name>', 'their full name')
    .option('--given-name <name>')
    .option('--family-name <name>')
    .option('--locale <tag>', 'their language, such as de-CH')
    .option('--zoneinfo <zone>', 'their time zone, such as Europe/Zurich')
    .option('--password-stdin', 'read the password from standard input (default: make one and show it once)')
    .option('--json', 'print one JSON document')
    .action(async ({ passwordStdin, json, emailVerified, givenName, familyName, ...rest }: CreateOptions) => {
      const password = passwordStdin ? await readSecret(terminal) : undefined
      const input = {
        ...rest,
        email_verified: emailVerified,
        given_name: givenName,
        family_name: familyName,
        password,
      }
      const person = await withAdmin(terminal, (admin) => admin.users.create(input))
      printResult(terminal, { json: json ?? false }, person, describe)
    })

  users
    .command('list')
    .description('list the people')
    .option('--json', 'print one JSON document')
    .action(async (options: OutputOptions) => {
      const list = await withAdmin(terminal, (admin) => admin.users.list())
      printResult(terminal, options, list, (rows) =>
        toTable(
          rows,
          ['username', 'email', 'status', 'sub'],
          'There is nobody yet. Add a person with: sallyport users create --help',
        ),
      )
    })

  users
    .command('show <username>')
    .description('show a person')
    .option('--json', 'print one JSON document')
    .action(async (username: string, options: OutputOptions) => {
      printResult(
        terminal,
        options,
        await withAdmin(terminal, (admin) => admin.users.show({ username })),
        toFields,
      )
    })

  users
    .command('set-password <username>')
    .description('replace a password, read from standard input; ends their sessions and tokens')
    .option('--password-stdin', 'read it from standard input')
    .option('--json', 'print one JSON document')
    .action(async (username: string, options: OutputOptions & { passwordStdin?: boolean }) => {
      if (!options.passwordStdin)
        throw new UsageError(
          '--password-stdin is missing: a password on the command line would be seen by others',
        )
      const password = await readSecret(terminal)
      const person = await withAdmin(terminal, (admin) => admin.users.setPassword({ username, password }))
      printResult(
        terminal,
        options,
        person,
        () => `${username} has a new password; sessions and tokens of before have ended.`,
      )
    })

  users
    .command('disable <username>')
    .description('lock a person out: sessions and tokens end at once')
    .option('--yes', 'do not ask')
    .option('--json', 'print one JSON document')
    .action(async (username: string, options: OutputOptions & { yes?: boolean }) => {
      await confirm(terminal, options, `Disable ${username} and end their sessions and tokens?`)
      const person = await withAdmin(terminal, (admin) => admin.users.disable({ username }))
      printResult(terminal, options, person, () => `${username} is disabled.`)
    })

  users
    .command('enable <username>')
    .description('let a disabled person in again')
    .option('--json', 'print one JSON document')
    .action(async (username: string, options: OutputOptions) => {
      const person = await withAdmin(terminal, (admin) => admin.users.enable({ username }))
      printResult(terminal, options, person, () => `${username} can sign in again.`)
    })

  users
    .command('delete <username>')
    .description('delete a person, their sessions and tokens')
    .option('--yes', 'do not ask')
    .option('--json', 'print one JSON document')
    .action(async (username: string, options: OutputOptions & { yes?: boolean }) => {
      await confirm(terminal, options, `Delete ${username} for good?`)
      const person = await withAdmin(terminal, (admin) => admin.users.delete({ username }))
      printResult(terminal, options, person, () => `Deleted ${username}.`)
    })

  users
    .command('sign-out <username>')
    .description('end every session, grant and token of a person')
    .option('--yes', 'do not ask')
    .option('--json', 'print one JSON document')
    .action(async (username: string, options: OutputOptions & { yes?: boolean }) => {
      await confirm(terminal, options, `Sign ${username} out everywhere?`)
      const ended = await withAdmin(terminal, (admin) => admin.users.signOut({ username }))
      printResult(
        terminal,
        options,
        ended,
        ({ sessions, browsers, grants }) =>
          `Ended ${sessions} sessions, ${browsers} remembered browsers and ${grants} grants of ${username}.`,
      )
    })

  return users
}

function describe(person: PersonDocument & { password?: string }): string {
  return person.password === undefined
    ? toFields(person)
    : `${toFields(person)}\n\nThe password is not shown again: pass it on now.`
}
