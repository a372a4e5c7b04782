import { decodeJwt, UnsecuredJWT } from 'jose'
import { type AdapterPayload, errors } from 'oidc-provider'
import { sha256, type Vault } from '../../crypto/vault.ts'
import { isForeignKeyViolation } from '../../db/database-error.ts'
import type { Payload } from '../../db/schema.ts'
import { toEpochSeconds } from '../../time.ts'
import { engineNow, shiftMembers } from '../engine/engine-time.ts'
import { engineAheadSeconds } from '../engine/request-context.ts'

/** Members of the engine's models that hold instants, in epoch seconds. */
const INSTANTS = ['iat', 'exp', 'iiat', 'loginTs']

/**
 * Converts the engine's payload for storage: drops the identifier, which is stored as a hash, and moves instants to the
 * database's clock.
 */
export function toStored({ jti, ...payload }: AdapterPayload): Payload {
  return shiftInstants(payload, -engineAheadSeconds(), takesAuthTime(payload) ? ['authTime'] : [])
}

/** The engine's tolerance for clock differences, by which most of its models outlive their `exp`. */
const TOLERANCE_SECONDS = 15

/**
 * Converts a stored payload for the engine: moves instants to the engine's clock. The statement that read the row
 * decided whether it has expired; `exp` is set so that the engine's own check agrees.
 */
export function fromStored(payload: Payload, { isExpired }: { isExpired: boolean }): AdapterPayload {
  const moved = shiftInstants(payload, engineAheadSeconds())
  const now = toEpochSeconds(engineNow())
  const exp = isExpired
    ? Math.min(Number(moved.exp), now - TOLERANCE_SECONDS)
    : Math.max(Number(moved.exp), now + 1)
  return { ...moved, exp }
}

/** Seals a stored payload for the row of this identifier. */
export function sealPayload(vault: Vault, kind: string, id: string, stored: Payload): Buffer {
  return vault.seal(JSON.stringify(stored), kind, [sha256(id)])
}

/** @returns undefined when the row was sealed under another key or altered. */
export function openPayload(
  vault: Vault,
  kind: string,
  id: string,
  row: { sealedPayload: Uint8Array; isExpired: boolean },
): AdapterPayload | undefined {
  const opened = vault.tryOpen(row.sealedPayload, kind, [sha256(id)])
  return opened === undefined ? undefined : { ...fromStored(JSON.parse(opened), row), jti: id }
}

/**
 * Codes take `authTime` from the session, and tokens from the code. No decision depends on it, so it stays as stored
 * and is sent to clients by the database's clock (`auth_time`).
 */
function takesAuthTime({ kind }: AdapterPayload): boolean {
  return kind === 'AuthorizationCode' || kind === 'DeviceCode'
}

export function expiryOf({ exp }: Payload): Date {
  if (typeof exp !== 'number') throw new TypeError('the engine stores nothing without an expiry')
  return new Date(exp * 1000)
}

/** Converts a foreign key violation: the row's grant, account or client was deleted during this request. */
export function refuseWhenParentIsGone(error: unknown): never {
  if (isForeignKeyViolation(error)) throw new errors.InvalidGrant('the grant ended during this request')
  throw error
}

function shiftInstants(
  payload: AdapterPayload,
  seconds: number,
  more: readonly string[] = [],
): AdapterPayload {
  if (seconds === 0) return payload
  const { result, lastSubmission, request } = payload
  return {
    ...shiftMembers(payload, [...INSTANTS, ...more], seconds),
    // The results of the interaction pages.
    ...(result ? { result: shiftLogin(result, seconds) } : {}),
    ...(lastSubmission ? { lastSubmission: shiftLogin(lastSubmission, seconds) } : {}),
    ...(typeof request === 'string' ? { request: shiftClaims(request, seconds) } : {}),
  }
}

function shiftLogin<Result extends object>(result: Result, seconds: number): Result {
  const { login } = result as { login?: object }
  return login ? { ...result, login: shiftMembers(login, ['ts'], seconds) } : result
}

/** The engine keeps a pushed request as an unsigned JWT of its own, and checks its times. */
function shiftClaims(request: string, seconds: number): string {
  return new UnsecuredJWT(shiftMembers(decodeJwt(request), ['iat', 'nbf', 'exp'], seconds)).encode()
}
