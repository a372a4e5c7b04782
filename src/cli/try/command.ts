/**
 * Room cli/try/: `sallyport try`, a relying party for the terminal. This file has the options; code.ts, device.ts and
 * service.ts are the grants; tokens.ts verifies the tokens, and outcome.ts prints them.
 */

import { Command, Option } from 'commander'
import { DEMO } from '../../app/demo.ts'
import { type Terminal, UsageError } from '../output/terminal.ts'
import type { BrowserOptions } from './code.ts'
import type { PartyOptions } from './relying-party.ts'

const PERSON_SCOPE = 'openid profile email'
const MAX_TIMEOUT_SECONDS = 86_400
const MAX_PORT = 65_535
const AUTH_METHODS: NonNullable<PartyOptions['authMethod']>[] = ['client_secret_basic', 'client_secret_post']

/** Loads the libraries of a client for these commands only. */
const load = () => import('./run.ts')

/** Acts as an app, a device or a service, with this server or another one. */
export function tryCommand(terminal: Terminal): Command {
  const group = new Command('try').description('get tokens as an app, a device or a service')

  withParty(group.command('code'), { clientId: DEMO.webClientId, scope: PERSON_SCOPE })
    .description('sign in through the browser: authorization code with PKCE')
    .option('--prompt <values>', 'prompt parameter, such as login or consent')
    .option('--no-open', 'print the URL, do not open a browser')
    .option(
      '--timeout <seconds>',
      'how long to wait for the sign-in',
      wholeNumber(1, MAX_TIMEOUT_SECONDS),
      300,
    )
    .option(
      '--port <port>',
      'port of http://127.0.0.1:PORT/callback, for a client registered with a port (default: a free port)',
      wholeNumber(1, MAX_PORT),
    )
    .action(async (options: PartyOptions & BrowserOptions) => (await load()).tryCode(terminal, options))

  withParty(group.command('device'), { clientId: DEMO.deviceClientId, scope: PERSON_SCOPE })
    .description('show a user code and a QR code, and wait for approval: device code')
    .action(async (options: PartyOptions) => (await load()).tryDevice(terminal, options))

  withParty(group.command('service'), { clientId: DEMO.serviceClientId, scope: 'read' })
    .description('get a token without a person: client credentials')
    .action(async (options: PartyOptions) => (await load()).tryService(terminal, options))

  return group
}

function withParty(command: Command, defaults: { clientId: string; scope: string }): Command {
  return command
    .option('--issuer <url>', 'the authorization server (default: from ISSUER and PORT)')
    .option('--client-id <id>', 'client_id', defaults.clientId)
    .option('--client-secret <secret>', 'client secret (default: a public client)')
    .addOption(
      new Option('--auth-method <method>', 'how the secret is sent (default: client_secret_basic)').choices([
        ...AUTH_METHODS,
      ]),
    )
    .option('--scope <scopes>', 'scopes to request, separated by spaces', defaults.scope)
    .option(
      '--resource <identifier>',
      defaults.clientId === DEMO.serviceClientId
        ? `the API the token is for (default, for ${DEMO.serviceClientId}: ${DEMO.resource})`
        : 'the API the token is for',
    )
    .option('--json', 'print one JSON document, and instructions on stderr')
}

function wholeNumber(least: number, most: number): (value: string) => number {
  return (value) => {
    const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN
    if (!(number >= least && number <= most))
      throw new UsageError(`${value} is not a whole number from ${least} to ${most}`)
    return number
  }
}
