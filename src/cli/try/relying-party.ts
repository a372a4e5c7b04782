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

/** A client of one authorization server, and the person at the terminal it speaks to. */
export type RelyingParty = Readonly<{
  terminal: Terminal
  server: openid.Configuration
  clientId: string
  scope: string
  resource: string | undefined
  json: boolean
  /** As {@link fetch}, but given up when the command is told to stop. */
  fetch: openid.CustomFetch
}>

/**
 * Finds the authorization server by its discovery document.
 *
 * @throws {UsageError} when the options cannot be meant; whatever openid-client rejects with when the server is not
 *   there or is not the issuer it was asked for.
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
      // Without this the signature of an ID token that came over TLS is not looked at; here it is the point.
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

/** The parameters that say which access the token is to give. */
export function toAccessParameters({ scope, resource }: RelyingParty): Record<string, string> {
  return { ...(scope ? { scope } : {}), ...(resource === undefined ? {} : { resource }) }
}

/** Says something a person must act on; with --json, standard output is kept for the document. */
export function tell({ terminal, json }: RelyingParty, text: string): void {
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
    if (authMethod) throw new UsageError('--auth-method says how a secret is sent: give --client-secret too')
    return openid.None()
  }
  return authMethod === 'client_secret_post'
    ? openid.ClientSecretPost(clientSecret)
    : openid.ClientSecretBasic(clientSecret)
}
