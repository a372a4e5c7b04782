import { readFile } from 'node:fs/promises'
import { Command, Option } from 'commander'
import { CLIENT_TYPES } from '../admin/client-metadata.ts'
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
    .description('register a client; its secret, if it has one, is shown this once')
    .addOption(
      new Option('--type <type>', 'what kind of client it is')
        .choices([...CLIENT_TYPES])
        .makeOptionMandatory(),
    )
    .option('--client-id <id>', 'its client_id (default: a random one)')
    .action(async (options: SettingOptions & OutputOptions & { type: string; clientId?: string }) => {
      if (options.name === undefined)
        throw new UsageError('--name is missing: what people see on the consent page')
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
          'There are no clients. Make one with: sallyport clients create --help',
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
    .description('change a client: what is given replaces what was, the rest stays')
    .option('--no-first-party', 'ask people for consent again')
    .option('--no-keep-offline-access', 'end its offline_access tokens with signing out again')

    .option('--disable', 'refuse every request of this client')
    .option('--enable', 'end that')
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
    .option('--yes', 'do not ask')
    .option('--json', 'print one JSON document')
    .action(async (client_id: string, options: OutputOptions & { yes?: boolean }) => {
      await confirm(terminal, options, `Delete the client ${client_id} and all of its tokens?`)
      const client = await withAdmin(terminal, (admin) => admin.clients.delete({ client_id }))
      printResult(terminal, options, client, () => `Deleted ${client_id}.`)
    })

  clients
    .command('rotate-secret <client_id>')
    .description('make a new secret; it is shown this once')
    .option(
      '--overlap-seconds <seconds>',
      'how long the old secret is still accepted (default: not at all)',
      wholeNumber,
      0,
    )
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
    .option('--name <name>', 'its name, as people see it')
    .option('--redirect-uri <uri>', 'where people are sent back to; may be repeated', collect)
    .option(
      '--post-logout-redirect-uri <uri>',
      'where people are sent after signing out; may be repeated',
      collect,
    )
    .option('--scope <scopes>', 'all scopes it may ask for (default: all of its type and resources)')
    .option('--resource <identifier>', 'an API it may ask tokens for; may be repeated', collect)
    .option(
      '--first-party',
      'it is ours: people are not asked for consent (native and device clients always ask)',
    )
    .option('--pkce', 'demand PKCE (the default)')
    .option('--no-pkce', 'let this confidential client do without PKCE')
    .option('--keep-offline-access', 'its offline_access tokens outlive signing out')
    .option('--session-idle-seconds <seconds>', 'its sessions end when unused so long', wholeNumber)
    .option('--session-absolute-seconds <seconds>', 'its sessions end so long after sign-in', wholeNumber)
    .option('--max-sessions <number>', 'how many browsers a person may use it with at once', wholeNumber)
    .option('--remember-me', 'accept browsers that were remembered (the default)')
    .option('--no-remember-me', 'demand a password where others accept a remembered browser')
    .option('--auth-method <method>', 'client_secret_basic, client_secret_post, private_key_jwt or none')
    .option('--jwks-file <path>', 'its public keys, a JWKS in a file')
    .option('--jwks-uri <uri>', 'its public keys, a JWKS at an https URL')
    .option('--id-token-alg <alg>', 'how its ID tokens are signed: RS256, ES256 or EdDSA')
    .option('--backchannel-logout-uri <uri>', 'where it is told that a person signed out')
    .option('--backchannel-logout-session', 'it is told which session, by sid (the default)')
    .option('--no-backchannel-logout-session', 'it keeps no sid, and is told which person alone')
    .option('--client-uri <uri>', 'its home page')
    .option('--policy-uri <uri>', 'its privacy policy')
    .option('--tos-uri <uri>', 'its terms of service')
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
    : `${toFields(client)}\n\nThe secret is not shown again: keep it now.`
}

function collect(value: string, previous: string[] = []): string[] {
  return [...previous, value]
}

function wholeNumber(value: string): number {
  if (!/^\d+$/.test(value)) throw new UsageError(`${value} is not a whole number`)
  return Number(value)
}
