import { Command } from 'commander'
import type { AccessDocument } from '../admin/access.ts'
import type { UserDocument } from '../admin/users.ts'
import { addOperation, type OperationOptions, perform, toMembers } from './operation.ts'
import { toPrintable } from './output/printable.ts'
import { readSecret, type Terminal, toFields, toTable, UsageError } from './output/terminal.ts'

type CreateOptions = OperationOptions & { passwordStdin?: boolean; [member: string]: unknown }

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
    .action(async ({ passwordStdin, ...options }: CreateOptions) => {
      const password = passwordStdin ? await readSecret(terminal) : undefined
      const input = { ...toMembers(options), password }
      await perform(terminal, options, { call: (admin) => admin.users.create(input), print: describe })
    })

  addOperation(terminal, users.command('list').description('list the people'), {
    call: (admin) => admin.users.list(),
    print: (rows) =>
      toTable(
        rows,
        ['username', 'email', 'status', 'sub'],
        'There are no users. Create one with: sallyport users create --help',
      ),
  })

  const showing = users.command('show <username>')
  addOperation(
    terminal,
    showing.description('show a person, and what is signed in or connected in their name'),
    {
      call: (admin, username) => admin.users.show({ username }),
      print: describeAccess,
    },
  )

  users
    .command('set-password <username>')
    .description('replace a password, and revoke sessions and tokens')
    .option('--password-stdin', 'read the password from standard input')
    .option('--json', 'print one JSON document')
    .action(async (username: string, options: OperationOptions & { passwordStdin?: boolean }) => {
      if (!options.passwordStdin)
        throw new UsageError(
          '--password-stdin is missing: other users could see a password on the command line',
        )
      const password = await readSecret(terminal)
      await perform(terminal, options, {
        call: (admin) => admin.users.setPassword({ username, password }),
        print: () => `${username} has a new password. Earlier sessions and tokens are revoked.`,
      })
    })

  const disabling = users.command('disable <username>')
  addOperation(terminal, disabling.description('disable a person, and revoke their sessions and tokens'), {
    question: (username) => `Disable ${username} and revoke their sessions and tokens?`,
    call: (admin, username) => admin.users.disable({ username }),
    print: (_person, username) => `${username} is disabled.`,
  })

  addOperation(terminal, users.command('enable <username>').description('enable a disabled person again'), {
    call: (admin, username) => admin.users.enable({ username }),
    print: (_person, username) => `${username} can sign in again.`,
  })

  const deletion = users.command('delete <username>')
  addOperation(terminal, deletion.description('delete a person, their sessions and tokens'), {
    question: (username) => `Delete ${username} for good?`,
    call: (admin, username) => admin.users.delete({ username }),
    print: (_person, username) => `Deleted ${username}.`,
  })

  const signOut = users
    .command('sign-out <username>')
    .description('revoke all sessions, remembered browsers, grants and tokens of a person, or one item')
    .option('--session <session>', 'only this session; users show lists them')
    .option('--browser <remembered-browser>', 'only this remembered browser')
    .option('--device <grant>', 'only this device')
    .option('--app <client_id>', 'only the access of this app')
  addOperation(terminal, signOut, {
    question(username, { session, browser, device, app }: SignOutOptions) {
      const part = session ?? browser ?? device ?? app
      return part === undefined ? `Sign ${username} out everywhere?` : `Revoke ${part} of ${username}?`
    },
    call: (admin, username, { session, browser, device, app }: SignOutOptions) =>
      admin.users.signOut({ username, session, browser, device, app }),
    print: ({ sessions, browsers, grants }, username) =>
      `Revoked ${sessions} sessions, ${browsers} remembered browsers and ${grants} grants of ${username}.`,
  })

  return users
}

type SignOutOptions = OperationOptions & { session?: string; browser?: string; device?: string; app?: string }

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
