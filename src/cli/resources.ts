import { Command, Option } from 'commander'
import { confirm, printResult, type Terminal, toFields, toTable } from './output/terminal.ts'
import { withAdmin } from './with-admin.ts'

type OutputOptions = { json?: boolean }
type CreateOptions = OutputOptions & {
  identifier: string
  scope: string
  format: string
  signingAlg?: string
  accessTokenSeconds?: string
  introspectionClient?: string[]
}

export function resourcesCommand(terminal: Terminal): Command {
  const resources = new Command('resources').description('register the APIs that access tokens are for')

  resources
    .command('create')
    .description('register an API')
    .requiredOption('--identifier <uri>', 'its URI, which becomes the audience of its tokens')
    .requiredOption('--scope <scopes>', 'the scopes it knows, separated by spaces')
    .addOption(
      new Option('--format <format>', 'jwt: it verifies tokens itself; opaque: it introspects them')
        .choices(['jwt', 'opaque'])
        .makeOptionMandatory(),
    )
    .option('--signing-alg <alg>', 'how its JWTs are signed: RS256 (default), ES256 or EdDSA')
    .option('--access-token-seconds <seconds>', 'lifetime of its tokens (default: the server’s)')
    .option(
      '--introspection-client <client_id>',
      'a client that is this API and may introspect its tokens; may be repeated',
      (value: string, before: string[] = []) => [...before, value],
    )
    .option('--json', 'print one JSON document')
    .action(async (options: CreateOptions) => {
      const input = {
        identifier: options.identifier,
        scope: options.scope,
        format: options.format,
        signing_alg: options.signingAlg,
        access_token_seconds:
          options.accessTokenSeconds === undefined ? undefined : Number(options.accessTokenSeconds),
        introspection_client_ids: options.introspectionClient,
      }
      printResult(
        terminal,
        options,
        await withAdmin(terminal, (admin) => admin.resources.create(input)),
        toFields,
      )
    })

  resources
    .command('list')
    .description('list the APIs')
    .option('--json', 'print one JSON document')
    .action(async (options: OutputOptions) => {
      const list = await withAdmin(terminal, (admin) => admin.resources.list())
      printResult(terminal, options, list, (rows) =>
        toTable(
          rows,
          ['identifier', 'scope', 'format', 'signing_alg'],
          'There are no resources. Make one with: sallyport resources create --help',
        ),
      )
    })

  resources
    .command('delete <identifier>')
    .description('delete an API: no more tokens are issued for it')
    .option('--yes', 'do not ask')
    .option('--json', 'print one JSON document')
    .action(async (identifier: string, options: OutputOptions & { yes?: boolean }) => {
      await confirm(terminal, options, `Delete the resource ${identifier}?`)
      const resource = await withAdmin(terminal, (admin) => admin.resources.delete({ identifier }))
      printResult(terminal, options, resource, () => `Deleted ${identifier}.`)
    })

  return resources
}
