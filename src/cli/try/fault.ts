import * as openid from 'openid-client'
import { ConfigError } from '../../config/config.ts'
import { toPrintable } from '../output/printable.ts'
import { UsageError } from '../output/terminal.ts'

const STOPPED = 'Stopped.'

/**
 * Explains the fault of a flow in one line.
 *
 * @param stop when it was aborted, the fault is a consequence.
 * @returns the error itself when it is wrong usage or a fault of this program; else a plain Error.
 */
export function explainFault(error: unknown, stop: AbortSignal): unknown {
  if (error instanceof UsageError || error instanceof ConfigError) return error
  if (stop.aborted) return new Error(STOPPED)
  const message = toMessage(error)
  return message === undefined ? error : new Error(toPrintable(message))
}

function toMessage(error: unknown): string | undefined {
  if (error instanceof openid.AuthorizationResponseError || error instanceof openid.ResponseBodyError)
    return toRefusal(error)
  if (error instanceof openid.WWWAuthenticateChallengeError) return toRefusal(toOAuthError(error))
  if (error instanceof openid.ClientError || isFetchFault(error) || isProtocolFault(error))
    return toChain(error)
  return error instanceof Error && error.name === 'Error' ? toChain(error) : undefined
}

type OAuthError = { error: string; error_description?: string | undefined }

function toRefusal({ error, error_description }: OAuthError): string {
  return `The server refused: ${error}${error_description ? ` (${error_description})` : ''}`
}

/** @see RFC 6750 §3 */
function toOAuthError({ cause, status }: openid.WWWAuthenticateChallengeError): OAuthError {
  const { error, error_description } =
    cause.find(({ parameters }) => parameters.error !== undefined)?.parameters ?? {}
  return { error: error ?? `HTTP ${status}`, error_description }
}

/** `fetch` rejects with a bare TypeError, and so do programming errors: only the former has a cause with a code. */
function isFetchFault(error: unknown): error is Error {
  return error instanceof TypeError && error.cause instanceof Error && 'code' in error.cause
}

/** openid-client does not wrap every error of oauth4webapi; the code identifies them. */
function isProtocolFault(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('OAUTH_')
}

/** The message of an error with those of its causes, which have the details. */
function toChain(error: Error): string {
  const { message, cause } = error
  const word = isFetchFault(error) ? 'The server does not answer' : message
  if (isIssuerMismatch(cause)) return `${cause.expected} has the issuer ${cause.body.issuer}: use that URL`
  if (cause instanceof Response) return `${word}: HTTP ${cause.status} from ${cause.url}`
  if (!(cause instanceof Error)) return word
  const reason = cause.message ? toChain(cause) : 'code' in cause ? String(cause.code) : cause.name
  return reason === word ? word : `${word}: ${reason}`
}

/** The discovery document names another issuer. @see OpenID Connect Discovery §4.3 */
function isIssuerMismatch(cause: unknown): cause is { expected: string; body: { issuer: string } } {
  return typeof cause === 'object' && cause !== null && 'attribute' in cause && cause.attribute === 'issuer'
}
