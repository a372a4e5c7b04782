import { Command, Option } from 'commander'
import { DEMO } from '../../demo.ts'
import { type Terminal, UsageError } from '../terminal.ts'
import type { TryOptions } from './app.ts'
import { type CodeOptions, tryCode } from './code.ts'
import { tryDevice } from './device.ts'
import { tryService } from './service.ts'

const TIMEOUT_SECONDS = 300

/** Walks through a grant against the running server, or any other, as an app would. */
export function tryCommand(terminal: Terminal): Command {
  const command = new Command('try').description(
    'walk through a grant against the running server, as an app would',
  )

  flow(command.command('code'), { clientId: DEMO.webClientId, scope: 'openid profile email' })
    .description('authorization code with PKCE: sign in with a browser, see the tokens')
    .option('--prompt <values>', 'what the page must ask, such as login or consent')
    .option('--no-open', 'only print the address, open no browser')
    .option('--timeout <seconds>', 'how long to wait for the browser', wholeNumber, TIMEOUT_SECONDS)
    .action((options: CodeOptions) => tryCode(terminal, options))

  flow(command.command('device'), { clientId: DEMO.deviceClientId, scope: 'openid profile email' })
    .description('device code: a code and a QR code, approved elsewhere')
    .action((options: TryOptions) => tryDevice(terminal, options))

  flow(command.command('service'), { clientId: DEMO.serviceClientId, scope: 'read' })
    .description('client credentials: a token for a service')
    .action((options: TryOptions) => {
      const isDemo = options.clientId === DEMO.serviceClientId && options.resource === undefined
      return tryService(terminal, isDemo ? { ...options, resource: DEMO.resource } : options)
    })

  return command
}

function flow(command: Command, { clientId, scope }: { clientId: string; scope: string }): Command {
  return command
    .option('--issuer <url>', 'the server (default: the one that the environment configures)')
    .option('--client-id <id>', 'the client', clientId)
    .option('--client-secret <secret>', 'its secret (default: none, a public client)')
    .addOption(
      new Option('--auth-method <method>', 'how the secret is sent').choices([
        'client_secret_basic',
        'client_secret_post',
      ]),
    )
    .option('--scope <scopes>', 'what to ask for', scope)
    .option('--resource <identifier>', 'the API that the token is for')
    .option('--json', 'print one JSON document; what a person must do goes to stderr')
}

function wholeNumber(value: string): number {
  if (!/^[1-9]\d{0,5}$/.test(value)) throw new UsageError(`${value} is not a whole number of seconds`)
  return Number(value)
}
