import { decodeJwt, UnsecuredJWT } from 'jose'
import { type AdapterPayload, errors } from 'oidc-provider'
import { isForeignKeyViolation } from '../../store/fault.ts'
import type { Payload } from '../../store/schema.ts'
import { toEpochSeconds } from '../../time.ts'
import { engineAheadSeconds, engineNow, withMoved } from '../engine-time.ts'

/** Instants in the engine's models, in epoch seconds. */
const INSTANTS = ['iat', 'exp', 'iiat', 'loginTs']

/** What is stored of the engine's payload: without the identifier, which is a hash, and by the database's clock. */
export function toStored({ jti, ...payload }: AdapterPayload): Payload {
  return movedInstants(payload, -engineAheadSeconds(), takesAuthTime(payload) ? ['authTime'] : [])
}

/** The engine counts whole seconds and lets most of its models live this much longer, for clocks that differ. */
const TOLERANCE_SECONDS = 15

/**
 * A stored payload as the engine takes it: by the engine's clock. The statement that read it decided whether it has
 * expired, and the engine, which looks once more, must find the same.
 */
export function fromStored(payload: Payload, { isExpired }: { isExpired: boolean }): AdapterPayload {
  const moved = movedInstants(payload, engineAheadSeconds())
  const now = toEpochSeconds(engineNow())
  const exp = isExpired
    ? Math.min(Number(moved.exp), now - TOLERANCE_SECONDS)
    : Math.max(Number(moved.exp), now + 1)
  return { ...moved, exp }
}

/**
 * Codes take `authTime` from the session. Tokens inherit it from codes, and nothing is decided by it: it stays as it is
 * stored, and goes to clients by the database's clock (`auth_time`).
 */
function takesAuthTime({ kind }: AdapterPayload): boolean {
  return kind === 'AuthorizationCode' || kind === 'DeviceCode'
}

export function expiryOf({ exp }: Payload): Date {
  if (typeof exp !== 'number') throw new TypeError('the engine stores nothing without an expiry')
  return new Date(exp * 1000)
}

/** The grant, person or client that a row belongs to was ended while this request ran. */
export function refuseWhenParentIsGone(error: unknown): never {
  if (isForeignKeyViolation(error)) throw new errors.InvalidGrant('the grant ended during this request')
  throw error
}

function movedInstants(
  payload: AdapterPayload,
  seconds: number,
  more: readonly string[] = [],
): AdapterPayload {
  if (seconds === 0) return payload
  const { result, lastSubmission, request } = payload
  return {
    ...withMoved(payload, [...INSTANTS, ...more], seconds),
    // What the pages between a request and its answer found out.
    ...(result ? { result: withMovedLogin(result, seconds) } : {}),
    ...(lastSubmission ? { lastSubmission: withMovedLogin(lastSubmission, seconds) } : {}),
    ...(typeof request === 'string' ? { request: withMovedClaims(request, seconds) } : {}),
  }
}

function withMovedLogin<Result extends object>(result: Result, seconds: number): Result {
  const { login } = result as { login?: object }
  return login ? { ...result, login: withMoved(login, ['ts'], seconds) } : result
}

/** A pushed request is kept as a JWT that the engine made for itself, unsigned, and whose times it checks. */
function withMovedClaims(request: string, seconds: number): string {
  return new UnsecuredJWT(withMoved(decodeJwt(request), ['iat', 'nbf', 'exp'], seconds)).encode()
}
