import { errors } from 'oidc-provider'

/** The engine's errors that our own pages raise or meet, so that `oidc/` alone imports the engine's values. */
export const { InvalidClient, OIDCProviderError, SessionNotFound } = errors

/** The proof of identity is of an older access epoch: the person must sign in again. */
export class ProofOutdatedError extends errors.LoginRequired {}

/** Another browser has the device's code, or decided about it meanwhile. Of the name that the engine gives its own. */
export class AlreadyUsedError extends errors.InvalidRequest {}
