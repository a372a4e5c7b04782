import { readFile } from 'node:fs/promises'
import { Command, Option } from 'commander'
import { CLIENT_TYPES } from '../admin/client-validation.ts'
import type { ClientDocument } from '../admin/clients.ts'
import { addOperation, collect, type OperationOptions, perform, toMembers } from './operation.ts'
import { type Terminal, toFields, toTable, UsageError } from './output/terminal.ts'

/** The metadata that options set, where it has another name than the option. */
const METADATA_NAMES: Readonly<Record<string, string>> = {
  name: 'client_name',
  redirectUri: 'redirect_uris',
  postLogoutRedirectUri: 'post_logout_redirect_uris',
  resource: 'resources',
  pkce: 'require_pkce',
  authMethod: 'token_endpoint_auth_method',
  idTokenAlg: 'id_token_signed_response_alg',
  backchannelLogoutSession: 'backchannel_logout_session_required',
}

type SettingOptions = OperationOptions & { jwksFile?: string; [setting: string]: unknown }

export function clientsCommand(terminal: Terminal): Command {
  const clients = new Command('clients').description('register and change clients: apps, devices, services')

  withSettings(clients.command('create'))
    .description('register a client; a secret is shown once')
    .addOption(
      new Option('--type <type>', 'type of the client').choices([...CLIENT_TYPES]).makeOptionMandatory(),
    )
    .option('--client-id <id>', 'client_id (default: random)')
    .action(async (options: SettingOptions) => {
      if (options.name === undefined) throw new UsageError('--name is missing: the name on the consent page')
      const input = await toMetadata(options)
      await perform(terminal, options, { call: (admin) => admin.clients.create(input), print: describe })
    })

  addOperation(terminal, clients.command('list').description('list the clients'), {
    call: (admin) => admin.clients.list(),
    print: (rows) =>
      toTable(
        rows,
        ['client_id', 'client_name', 'type', 'scope'],
        'There are no clients. Create one with: sallyport clients create --help',
      ),
  })

  addOperation(terminal, clients.command('show <client_id>').description('show a client'), {
    call: (admin, client_id) => admin.clients.show({ client_id }),
    print: toFields,
  })

  withSettings(clients.command('update <client_id>'))
    .description('change a client: given settings are replaced, others are kept')
    .option('--no-first-party', 'ask people for consent again')
    .option('--no-keep-offline-access', 'revoke its offline_access tokens at sign-out again')
    .option('--disable', 'refuse every request of this client')
    .option('--enable', 'accept requests of this client again')
    .action(async (client_id: string, { disable, enable, ...options }: SettingOptions) => {
      const disabled = disable ? true : enable ? false : undefined
      const input = { ...(await toMetadata(options)), client_id, disabled }
      await perform(terminal, options, { call: (admin) => admin.clients.update(input), print: describe })
    })

  const deletion = clients.command('delete <client_id>')
  addOperation(terminal, deletion.description('delete a client and everything issued to it'), {
    question: (client_id) => `Delete the client ${client_id} and all of its tokens?`,
    call: (admin, client_id) => admin.clients.delete({ client_id }),
    print: (_client, client_id) => `Deleted ${client_id}.`,
  })

  const rotation = clients
    .command('rotate-secret <client_id>')
    .description('create a new secret; it is shown once')
    .option('--overlap-seconds <seconds>', 'how long the old secret is still accepted', wholeNumber, 0)
  addOperation(terminal, rotation, {
    call: (admin, client_id, { overlapSeconds }: OperationOptions & { overlapSeconds: number }) =>
      admin.clients.rotateSecret({ client_id, overlap_seconds: overlapSeconds }),
    print: describe,
  })

  return clients
}

function withSettings(command: Command): Command {
  return command
    .option('--name <name>', 'name that people see')
    .option('--redirect-uri <uri>', 'redirect URI; may be repeated', collect)
    .option('--post-logout-redirect-uri <uri>', 'redirect URI after sign-out; may be repeated', collect)
    .option('--scope <scopes>', 'scopes that it may request (default: all of its type and resources)')
    .option('--resource <identifier>', 'API that it may request tokens for; may be repeated', collect)
    .option('--first-party', 'skip consent for your own client (native and device clients always ask)')
    .option('--pkce', 'require PKCE (the default)')
    .option('--no-pkce', 'do not require PKCE of this confidential client')
    .option('--keep-offline-access', 'keep its offline_access tokens at sign-out')
    .option('--session-idle-seconds <seconds>', 'idle timeout of its sessions', wholeNumber)
    .option('--session-absolute-seconds <seconds>', 'absolute timeout of its sessions', wholeNumber)
    .option('--max-sessions <number>', 'most concurrent sessions of a person', wholeNumber)
    .option('--remember-me', 'accept remembered browsers (the default)')
    .option('--no-remember-me', 'require a password instead of a remembered browser')
    .option('--auth-method <method>', 'client_secret_basic, client_secret_post, private_key_jwt or none')
    .option('--jwks-file <path>', 'file with its public keys (JWKS)')
    .option('--jwks-uri <uri>', 'https URL of its public keys (JWKS)')
    .option('--id-token-alg <alg>', 'signing algorithm of its ID tokens: RS256, ES256 or EdDSA')
    .option('--backchannel-logout-uri <uri>', 'URL that receives its logout tokens')
    .option('--backchannel-logout-session', 'send logout tokens with the sid of the session (the default)')
    .option('--no-backchannel-logout-session', 'send logout tokens without sid, for the person')
    .option('--client-uri <uri>', 'home page')
    .option('--policy-uri <uri>', 'privacy policy')
    .option('--tos-uri <uri>', 'terms of service')
    .option('--json', 'print one JSON document')
}

async function toMetadata({ jwksFile, ...options }: SettingOptions): Promise<Record<string, unknown>> {
  const jwks = jwksFile === undefined ? undefined : await readJson(jwksFile)
  return { ...toMembers(options, METADATA_NAMES), jwks }
}

async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch(() => {
    throw new UsageError(`--jwks-file: cannot read ${path}`)
  })
  try {
    return JSON.parse(text)
  } catch {
    throw new UsageError(`--jwks-file: ${path} is not JSON`)
  }
}

function describe(client: ClientDocument): string {
  return client.client_secret === undefined
    ? toFields(client)
    : `${toFields(client)}\n\nThe secret is not shown again: store it now.`
}

function wholeNumber(value: string): number {
  if (!/^\d+$/.test(value)) throw new UsageError(`${value} is not a whole number`)
  return Number(value)
}
