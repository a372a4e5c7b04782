import { readFile } from 'node:fs/promises'
import { Command, Option } from 'commander'
import { CLIENT_TYPES } from '../admin/client-validation.ts'
import type { ClientDocument } from '../admin/clients.ts'
import { confirm, printResult, type Terminal, toFields, toTable, UsageError } from './output/terminal.ts'
import { withAdmin } from './with-admin.ts'

type SettingOptions = {
  name?: string
  clientUri?: string
  policyUri?: string
  tosUri?: string
  redirectUri?: string[]
  postLogoutRedirectUri?: string[]
  scope?: string
  resource?: string[]
  firstParty?: boolean
  pkce?: boolean
  keepOfflineAccess?: boolean
  sessionIdleSeconds?: number
  sessionAbsoluteSeconds?: number
  maxSessions?: number
  rememberMe?: boolean
  authMethod?: string
  idTokenAlg?: string
  jwksFile?: string
  jwksUri?: string
  backchannelLogoutUri?: string
  backchannelLogoutSession?: boolean
}
type OutputOptions = { json?: boolean }

export function clientsCommand(terminal: Terminal): Command {
  const clients = new Command('clients').description('register and change clients: apps, devices, services')

  withSettings(clients.command('create'))
    .description('register a client; a secret is shown once')
    .addOption(
      new Option('--type <type>', 'type of the client').choices([...CLIENT_TYPES]).makeOptionMandatory(),
    )
    .option('--client-id <id>', 'client_id (default: random)')
    .action(async (options: SettingOptions & OutputOptions & { type: string; clientId?: string }) => {
      if (options.name === undefined) throw new UsageError('--name is missing: the name on the consent page')
      const input = { ...(await toSettings(options)), type: options.type, client_id: options.clientId }
      const client = await withAdmin(terminal, (admin) => admin.clients.create(input))
      printResult(terminal, options, client, describe)
    })

  clients
    .command('list')
    .description('list the clients')
    .option('--json', 'print one JSON document')
    .action(async (options: OutputOptions) => {
      const list = await withAdmin(terminal, (admin) => admin.clients.list())
      printResult(terminal, options, list, (rows) =>
        toTable(
          rows,
          ['client_id', 'client_name', 'type', 'scope'],
          'There are no clients. Create one with: sallyport clients create --help',
        ),
      )
    })

  clients
    .command('show <client_id>')
    .description('show a client')
    .option('--json', 'print one JSON document')
    .action(async (client_id: string, options: OutputOptions) => {
      printResult(
        terminal,
        options,
        await withAdmin(terminal, (admin) => admin.clients.show({ client_id })),
        toFields,
      )
    })

  withSettings(clients.command('update <client_id>'))
    .description('change a client: given settings are replaced, others are kept')
    .option('--no-first-party', 'ask people for consent again')
    .option('--no-keep-offline-access', 'revoke its offline_access tokens at sign-out again')
    .option('--disable', 'refuse every request of this client')
    .option('--enable', 'accept requests of this client again')
    .action(
      async (
        client_id: string,
        options: SettingOptions & OutputOptions & { disable?: boolean; enable?: boolean },
      ) => {
        const disabled = options.disable ? true : options.enable ? false : undefined
        const input = { ...(await toSettings(options)), client_id, disabled }
        const client = await withAdmin(terminal, (admin) => admin.clients.update(input))
        printResult(terminal, options, client, describe)
      },
    )

  clients
    .command('delete <client_id>')
    .description('delete a client and everything issued to it')
    .option('--yes', 'do not ask for confirmation')
    .option('--json', 'print one JSON document')
    .action(async (client_id: string, options: OutputOptions & { yes?: boolean }) => {
      await confirm(terminal, options, `Delete the client ${client_id} and all of its tokens?`)
      const client = await withAdmin(terminal, (admin) => admin.clients.delete({ client_id }))
      printResult(terminal, options, client, () => `Deleted ${client_id}.`)
    })

  clients
    .command('rotate-secret <client_id>')
    .description('create a new secret; it is shown once')
    .option('--overlap-seconds <seconds>', 'how long the old secret is still accepted', wholeNumber, 0)
    .option('--json', 'print one JSON document')
    .action(async (client_id: string, options: OutputOptions & { overlapSeconds: number }) => {
      const input = { client_id, overlap_seconds: options.overlapSeconds }
      const client = await withAdmin(terminal, (admin) => admin.clients.rotateSecret(input))
      printResult(terminal, options, client, describe)
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

async function toSettings(options: SettingOptions): Promise<Record<string, unknown>> {
  return {
    client_name: options.name,
    client_uri: options.clientUri,
    policy_uri: options.policyUri,
    tos_uri: options.tosUri,
    redirect_uris: options.redirectUri,
    post_logout_redirect_uris: options.postLogoutRedirectUri,
    scope: options.scope,
    resources: options.resource,
    first_party: options.firstParty,
    keep_offline_access: options.keepOfflineAccess,
    session_idle_seconds: options.sessionIdleSeconds,
    session_absolute_seconds: options.sessionAbsoluteSeconds,
    max_sessions: options.maxSessions,
    remember_me: options.rememberMe,
    require_pkce: options.pkce,
    token_endpoint_auth_method: options.authMethod,
    id_token_signed_response_alg: options.idTokenAlg,
    jwks: options.jwksFile === undefined ? undefined : await readJson(options.jwksFile),
    jwks_uri: options.jwksUri,
    backchannel_logout_uri: options.backchannelLogoutUri,
    backchannel_logout_session_required: options.backchannelLogoutSession,
  }
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

function collect(value: string, previous: string[] = []): string[] {
  return [...previous, value]
}

function wholeNumber(value: string): number {
  if (!/^\d+$/.test(value)) throw new UsageError(`${value} is not a whole number`)
  return Number(value)
}
