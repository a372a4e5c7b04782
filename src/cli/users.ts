import { Command } from 'commander'
import type { AccessDocument } from '../admin/access.ts'
import type { UserDocument } from '../admin/users.ts'
import { toPrintable } from './output/printable.ts'
import {
  confirm,
  printResult,
  readSecret,
  type Terminal,
  toFields,
  toTable,
  UsageError,
} from './output/terminal.ts'
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
    .requiredOption('--username <username>', 'username to sign in with')
    .option('--email <address>', 'e-mail address, also to sign in with')
    .option('--email-verified', 'the e-mail address is verified')
    .option('--name <name>', 'full name')
    .option('--given-name <name>', 'given name')
    .option('--family-name <name>', 'family name')
    .option('--locale <tag>', 'language, such as de-CH')
    .option('--zoneinfo <zone>', 'time zone, such as Europe/Zurich')
    .option(
      '--password-stdin',
      'read the password from standard input (default: generate one and show it once)',
    )
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
          'There are no users. Create one with: sallyport users create --help',
        ),
      )
    })

  users
    .command('show <username>')
    .description('show a person, and what is signed in or connected in their name')
    .option('--json', 'print one JSON document')
    .action(async (username: string, options: OutputOptions) => {
      printResult(
        terminal,
        options,
        await withAdmin(terminal, (admin) => admin.users.show({ username })),
        describeAccess,
      )
    })

  users
    .command('set-password <username>')
    .description('replace a password, and revoke sessions and tokens')
    .option('--password-stdin', 'read the password from standard input')
    .option('--json', 'print one JSON document')
    .action(async (username: string, options: OutputOptions & { passwordStdin?: boolean }) => {
      if (!options.passwordStdin)
        throw new UsageError(
          '--password-stdin is missing: other users could see a password on the command line',
        )
      const password = await readSecret(terminal)
      const person = await withAdmin(terminal, (admin) => admin.users.setPassword({ username, password }))
      printResult(
        terminal,
        options,
        person,
        () => `${username} has a new password. Earlier sessions and tokens are revoked.`,
      )
    })

  users
    .command('disable <username>')
    .description('disable a person, and revoke their sessions and tokens')
    .option('--yes', 'do not ask for confirmation')
    .option('--json', 'print one JSON document')
    .action(async (username: string, options: OutputOptions & { yes?: boolean }) => {
      await confirm(terminal, options, `Disable ${username} and revoke their sessions and tokens?`)
      const person = await withAdmin(terminal, (admin) => admin.users.disable({ username }))
      printResult(terminal, options, person, () => `${username} is disabled.`)
    })

  users
    .command('enable <username>')
    .description('enable a disabled person again')
    .option('--json', 'print one JSON document')
    .action(async (username: string, options: OutputOptions) => {
      const person = await withAdmin(terminal, (admin) => admin.users.enable({ username }))
      printResult(terminal, options, person, () => `${username} can sign in again.`)
    })

  users
    .command('delete <username>')
    .description('delete a person, their sessions and tokens')
    .option('--yes', 'do not ask for confirmation')
    .option('--json', 'print one JSON document')
    .action(async (username: string, options: OutputOptions & { yes?: boolean }) => {
      await confirm(terminal, options, `Delete ${username} for good?`)
      const person = await withAdmin(terminal, (admin) => admin.users.delete({ username }))
      printResult(terminal, options, person, () => `Deleted ${username}.`)
    })

  users
    .command('sign-out <username>')
    .description('revoke all sessions, remembered browsers, grants and tokens of a person, or one item')
    .option('--session <session>', 'only this session; users show lists them')
    .option('--browser <remembered-browser>', 'only this remembered browser')
    .option('--device <grant>', 'only this device')
    .option('--app <client_id>', 'only the access of this app')
    .option('--yes', 'do not ask for confirmation')
    .option('--json', 'print one JSON document')
    .action(async (username: string, options: OutputOptions & SignOutOptions) => {
      const { session, browser, device, app } = options
      const part = [session, browser, device, app].find((name) => name !== undefined)
      const question =
        part === undefined ? `Sign ${username} out everywhere?` : `Revoke ${part} of ${username}?`
      await confirm(terminal, options, question)
      const input = { username, session, browser, device, app }
      const ended = await withAdmin(terminal, (admin) => admin.users.signOut(input))
      printResult(
        terminal,
        options,
        ended,
        ({ sessions, browsers, grants }) =>
          `Revoked ${sessions} sessions, ${browsers} remembered browsers and ${grants} grants of ${username}.`,
      )
    })

  return users
}

type SignOutOptions = { session?: string; browser?: string; device?: string; app?: string; yes?: boolean }

function describeAccess({
  sessions,
  remembered_browsers,
  devices,
  apps,
  ...person
}: UserDocument & AccessDocument): string {
  const tables: [string, readonly Readonly<Record<string, unknown>>[], string[]][] = [
    ['Sessions', sessions, ['session', 'user_agent', 'address', 'started_at', 'seen_at']],
    [
      'Remembered browsers',
      remembered_browsers,
      ['remembered_browser', 'user_agent', 'used_at', 'expires_at'],
    ],
    ['Devices', devices, ['grant', 'client_id', 'since', 'used_at']],
    ['Apps', apps, ['client_id', 'since', 'used_at']],
  ]
  const parts = tables.map(([title, rows, columns]) => `${title}\n${toTable(rows, columns, 'none')}`)
  // A client chooses its own User-Agent.
  return toPrintable([toFields(person), ...parts].join('\n\n'), { keepLineEnds: true })
}

function describe(person: UserDocument & { password?: string }): string {
  return person.password === undefined
    ? toFields(person)
    : `${toFields(person)}\n\nThe password is not shown again: pass it on now.`
}
