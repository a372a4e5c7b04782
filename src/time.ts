/** Where the current time comes from; tests hand in their own. */
export type Clock = () => Date

export const MINUTE_SECONDS = 60
export const HOUR_SECONDS = 60 * MINUTE_SECONDS
export const DAY_SECONDS = 24 * HOUR_SECONDS

/** Seconds since the epoch, as JWTs and the engine count them. */
export function toEpochSeconds(instant: Date): number {
  return Math.floor(instant.getTime() / 1000)
}
