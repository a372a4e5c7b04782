/** The source of the current time; tests pass their own. */
export type Clock = () => Date

export const MINUTE_SECONDS = 60
export const HOUR_SECONDS = 60 * MINUTE_SECONDS
export const DAY_SECONDS = 24 * HOUR_SECONDS

/** Seconds since the epoch (NumericDate, RFC 7519 §2). */
export function toEpochSeconds(instant: Date): number {
  return Math.floor(instant.getTime() / 1000)
}
