import { toEpochSeconds } from '../../time.ts'
import { engineAheadSeconds } from './request-context.ts'

/*
 * The engine reads `Date.now()`, this machine's clock, and accepts no other. Stored times are by the database's clock.
 * Times are converted by the offset between the two: in adapter/payload.ts for the engine's stored models, by the
 * functions here for everything else.
 */

export function engineNow(): Date {
  return new Date()
}

/** Converts an instant of the database's clock to the engine's epoch seconds. */
export function toEngineSeconds(instant: Date): number {
  return toEpochSeconds(instant) + engineAheadSeconds()
}

/** Converts the engine's epoch seconds to an instant of the database's clock. */
export function fromEngineSeconds(seconds: number): Date {
  return new Date((seconds - engineAheadSeconds()) * 1000)
}

/** Converts claims of the engine (`iat`, `exp`) to the database's clock, so that they do not depend on the instance. */
export function withDatabaseTimes<Claims extends object>(claims: Claims): Claims {
  return shiftMembers(claims, ['iat', 'exp'], -engineAheadSeconds())
}

/** Returns a copy whose members of these names are shifted by `seconds`, where they are numbers. */
export function shiftMembers<Members extends object>(
  members: Members,
  names: readonly string[],
  seconds: number,
): Members {
  const moved = Object.entries(members).filter(
    ([name, value]) => names.includes(name) && typeof value === 'number',
  )
  return { ...members, ...Object.fromEntries(moved.map(([name, value]) => [name, value + seconds])) }
}
