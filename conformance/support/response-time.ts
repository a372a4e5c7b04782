import { expect } from 'vitest'

/**
 * The number of pairs to compare. A few reveal a password hash that only one kind of request computes; `TIMING=full`
 * measures as precisely as an attacker could.
 */
export function pairsOf({ usual, full }: { usual: number; full: number }): number {
  return process.env.TIMING === 'full' ? full : usual
}

/**
 * Expects two kinds of request to take the same time: the median difference of pairs, which met the same load, is near
 * zero. The tolerance grows with the standard error of the median on a busy machine; a password hash of one kind alone
 * exceeds it even then.
 *
 * @param milliseconds the least tolerance.
 */
export function expectSameTime(
  some: readonly number[],
  others: readonly number[],
  milliseconds: number,
): void {
  const differences = some
    .map((time, index) => time - (others[index] ?? Number.NaN))
    .toSorted((a, b) => a - b)
  const at = (part: number) => differences[Math.floor(differences.length * part)] ?? Number.NaN
  // Normal distribution: quartiles are 1.35 deviations apart; a median's error is 1.25 times that of a mean.
  const standardError = (1.25 * (at(0.75) - at(0.25))) / 1.35 / Math.sqrt(differences.length)
  expect(Math.abs(at(0.5))).toBeLessThan(Math.max(milliseconds, 3 * standardError))
}
