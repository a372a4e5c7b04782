import * as openid from 'openid-client'
import { DEMO } from '../../app/demo.ts'
import { parseConfig } from '../../config/config.ts'
import { isLoopback } from '../../loopback.ts'
import { type Terminal, UsageError } from '../output/terminal.ts'

const ANSWER_SECONDS = 10

/** The options that every flow has. */
export type PartyOptions = {
  issuer?: string
  clientId: string
  clientSecret?: string
  authMethod?: 'client_secret_basic' | 'client_secret_post'
  scope: string
  resource?: string
  json?: boolean
}

/** A client of one authorization server, and the terminal that it runs in. */
export type RelyingParty = Readonly<{
  terminal: Terminal
  server: openid.Configuration
  clientId: string
  scope: string
  resource: string | undefined
  json: boolean
  /** {@link fetch}, aborted when the command stops. */
  fetch: openid.CustomFetch
}>

/**
 * Finds the authorization server by its discovery document.
 *
 * @throws {UsageError} when options contradict each other; errors of openid-client when the server does not answer or has
 *   another issuer.
 * @see OpenID Connect Discovery §4
 */
export async function connect(terminal: Terminal, options: PartyOptions): Promise<RelyingParty> {
  const { clientId, clientSecret, scope } = options
  const issuer = parseIssuer(options.issuer ?? parseConfig(terminal.env).issuer)
  const authentication = createAuthentication(options)
  const fetchUntilStopped: openid.CustomFetch = (url, { body, signal, ...init }) =>
    fetch(url, {
      ...init,
      ...(body === undefined ? {} : { body }),
      signal: signal ? AbortSignal.any([terminal.signal, signal]) : terminal.signal,
    })
  const server = await openid.discovery(issuer, clientId, clientSecret, authentication, {
    [openid.customFetch]: fetchUntilStopped,
    timeout: ANSWER_SECONDS,
    execute: [
      // By default, the signature of an ID token that came over TLS is not verified.
      openid.enableNonRepudiationChecks,
      ...(issuer.protocol === 'http:' ? [openid.allowInsecureRequests] : []),
    ],
  })
  return {
    terminal,
    server,
    clientId,
    scope: scope.trim(),
    resource: options.resource ?? (clientId === DEMO.serviceClientId ? DEMO.resource : undefined),
    json: options.json ?? false,
    fetch: fetchUntilStopped,
  }
}

/** The parameters for the requested access. */
export function toAccessParameters({ scope, resource }: RelyingParty): Record<string, string> {
  return { ...(scope ? { scope } : {}), ...(resource === undefined ? {} : { resource }) }
}

/** Prints an instruction; with --json on stderr, because stdout has the document. */
export function instruct({ terminal, json }: RelyingParty, text: string): void {
  const stream = json ? terminal.stderr : terminal.stdout
  stream.write(`${text}\n`)
}

function parseIssuer(value: string): URL {
  const url = URL.parse(value)
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username || url.password)
    throw new UsageError('--issuer must be a URL such as https://login.example.com')
  if (url.protocol === 'http:' && !isLoopback(url))
    throw new UsageError('--issuer must use https, except on localhost')
  return url
}

function createAuthentication({ clientSecret, authMethod }: PartyOptions): openid.ClientAuth {
  if (clientSecret === '') throw new UsageError('--client-secret is empty')
  if (clientSecret === undefined) {
    if (authMethod) throw new UsageError('--auth-method needs --client-secret')
    return openid.None()
  }
  return authMethod === 'client_secret_post'
    ? openid.ClientSecretPost(clientSecret)
    : openid.ClientSecretBasic(clientSecret)
}
