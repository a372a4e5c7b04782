import { Command, Option } from 'commander'
import { addOperation, collect, toMembers } from './operation.ts'
import { type Terminal, toFields, toTable } from './output/terminal.ts'

export function resourcesCommand(terminal: Terminal): Command {
  const resources = new Command('resources').description('register the APIs that access tokens are for')

  const creation = resources
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
    .option('--access-token-seconds <seconds>', 'lifetime of its tokens (default: the server’s)', Number)
    .option(
      '--introspection-client <client_id>',
      'client as which the API introspects its tokens; may be repeated',
      collect,
    )
  addOperation(terminal, creation, {
    call: (admin, _name, options) =>
      admin.resources.create(toMembers(options, { introspectionClient: 'introspection_client_ids' })),
    print: toFields,
  })

  addOperation(terminal, resources.command('list').description('list the APIs'), {
    call: (admin) => admin.resources.list(),
    print: (rows) =>
      toTable(
        rows,
        ['identifier', 'scope', 'format', 'signing_alg'],
        'There are no resources. Create one with: sallyport resources create --help',
      ),
  })

  const deletion = resources.command('delete <identifier>')
  addOperation(terminal, deletion.description('delete an API, and issue no more tokens for it'), {
    question: (identifier) => `Delete the resource ${identifier}?`,
    call: (admin, identifier) => admin.resources.delete({ identifier }),
    print: (_resource, identifier) => `Deleted ${identifier}.`,
  })

  return resources
}
