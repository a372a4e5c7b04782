import { type AdapterPayload, errors } from 'oidc-provider'
import { isForeignKeyViolation } from '../../store/fault.ts'
import type { Payload } from '../../store/schema.ts'

/** The engine's payload without its identifier, which is stored as a hash alone. */
export function withoutId({ jti, ...payload }: AdapterPayload): Payload {
  return payload
}

export function expiryOf({ exp }: AdapterPayload): Date {
  if (typeof exp !== 'number') throw new TypeError('the engine stores nothing without an expiry')
  return new Date(exp * 1000)
}

/** The grant, person or client that a row belongs to was ended while this request ran. */
export function refuseWhenParentIsGone(error: unknown): never {
  if (isForeignKeyViolation(error)) throw new errors.InvalidGrant('the grant ended during this request')
  throw error
}
