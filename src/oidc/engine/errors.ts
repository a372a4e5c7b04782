import { errors } from 'oidc-provider'
import { isRetryable } from '../../db/database-error.ts'

/** The engine's errors that pages raise or handle: only `oidc/` imports values of the engine. */
export const { InvalidClient, OIDCProviderError, SessionNotFound } = errors

/** The proof of identity is of an older access epoch: the person must sign in again. */
export class ProofOutdatedError extends errors.LoginRequired {}

/** Another browser has the device's code, or decided about it. The engine has an error of the same name. */
export class AlreadyUsedError extends errors.InvalidRequest {}

/**
 * Makes a function that the engine calls fail with 503 `temporarily_unavailable` when the database is unavailable or a
 * concurrent request won: a client retries after 503, and gives up after 500.
 */
export function withUnavailable<Parameters extends unknown[], Result>(
  work: (...parameters: Parameters) => Promise<Result>,
) {
  return async (...parameters: Parameters): Promise<Result> => {
    try {
      return await work(...parameters)
    } catch (error) {
      throw isRetryable(error) ? unavailable(error) : error
    }
  }
}

export function unavailable(cause: unknown): errors.OIDCProviderError {
  const error = new errors.TemporarilyUnavailable('the database cannot answer now')
  error.statusCode = 503
  error.status = 503
  error.cause = cause
  return error
}

/** The OAuth error code of a JSON answer; undefined when it has none. */
export function errorCodeIn({ body }: { body: unknown }): unknown {
  return typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined
}
