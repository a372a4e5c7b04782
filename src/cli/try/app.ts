import * as client from 'openid-client'
import { parseConfig } from '../../config.ts'
import { type Terminal, UsageError } from '../terminal.ts'

/** Options that every flow takes. */
export type TryOptions = {
  issuer?: string
  clientId: string
  clientSecret?: string
  authMethod?: string
  scope: string
  resource?: string
  json?: boolean
}

/** Discovers the server and makes an app of the options, as any app would. */
export async function discover(
  terminal: Terminal,
  { issuer, clientId, clientSecret, authMethod }: TryOptions,
): Promise<client.Configuration> {
  const url = URL.parse(issuer ?? parseConfig(terminal.env).issuer)
  if (!url) throw new UsageError(`--issuer: ${issuer} is not a URL`)
  const isLocal = url.protocol === 'http:' && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(url.hostname)
  return await client
    .discovery(url, clientId, undefined, authentication(clientSecret, authMethod), {
      execute: isLocal ? [client.allowInsecureRequests] : [],
    })
    .catch((error: unknown) => {
      throw isUnreachable(error)
        ? new Error(`Nothing answers at ${url.origin}. Is the server running?`)
        : explain(error)
    })
}

/** The parameters that say what is asked for. */
export function askedFor({ scope, resource }: TryOptions): Record<string, string> {
  return { scope, ...(resource === undefined ? {} : { resource }) }
}

/** An OAuth error in one line, instead of the stack of the library that found it. */
export function explain(error: unknown): Error {
  if (error instanceof client.ResponseBodyError || error instanceof client.AuthorizationResponseError)
    return refusal(error)
  if (error instanceof client.WWWAuthenticateChallengeError) return refusal(error.cause[0]?.parameters ?? {})
  if (error instanceof client.ClientError && error.cause instanceof Error)
    return new Error(`${error.message}: ${error.cause.message}`)
  return error instanceof Error ? new Error(error.message) : new Error(String(error))
}

function refusal({
  error = 'no reason given',
  error_description,
}: {
  error?: string | undefined
  error_description?: string | undefined
}): Error {
  return new Error(`The server refused: ${error}${error_description ? ` (${error_description})` : ''}`)
}

function authentication(secret: string | undefined, method: string | undefined): client.ClientAuth {
  if (secret === undefined) return client.None()
  return method === 'client_secret_post' ? client.ClientSecretPost(secret) : client.ClientSecretBasic(secret)
}

function isUnreachable(error: unknown): boolean {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && cause.code === 'ECONNREFUSED') return true
  }
  return false
}
