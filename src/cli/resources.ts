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
    .requiredOption('--identifier <uri>', 'URI of the API: the audience of its tokens')
    .requiredOption('--scope <scopes>', 'scopes of the API, separated by spaces')
    .addOption(
      new Option('--format <format>', 'jwt: the API verifies tokens itself; opaque: it introspects them')
        .choices(['jwt', 'opaque'])
        .makeOptionMandatory(),
    )
    .option('--signing-alg <alg>', 'signing algorithm of its JWTs: RS256 (default), ES256 or EdDSA')
    .option('--access-token-seconds <seconds>', 'lifetime of its tokens (default: the server’s)')
    .option(
      '--introspection-client <client_id>',
      'client as which the API introspects its tokens; may be repeated',
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
          'There are no resources. Create one with: sallyport resources create --help',
        ),
      )
    })

  resources
    .command('delete <identifier>')
    .description('delete an API, and issue no more tokens for it')
    .option('--yes', 'do not ask for confirmation')
    .option('--json', 'print one JSON document')
    .action(async (identifier: string, options: OutputOptions & { yes?: boolean }) => {
      await confirm(terminal, options, `Delete the resource ${identifier}?`)
      const resource = await withAdmin(terminal, (admin) => admin.resources.delete({ identifier }))
      printResult(terminal, options, resource, () => `Deleted ${identifier}.`)
    })

  return resources
}
