import { expect } from 'vitest'

/**
 * How many pairs to compare: a few tell a password that is hashed for one kind alone; `TIMING=full` looks as closely as
 * an attacker might.
 */
export function pairsOf({ usual, full }: { usual: number; full: number }): number {
  return process.env.TIMING === 'full' ? full : usual
}

/**
 * Two kinds of request take the same time: the median of the differences of pairs, which met the same load, is near zero.
 * On a busy machine that median is known less well, by its standard error; a password that is hashed for one kind alone
 * shows even so.
 *
 * @param milliseconds how near.
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
  // Of a normal distribution: the quartiles lie 1.35 deviations apart, and a median errs 1.25 times as much as a mean.
  const standardError = (1.25 * (at(0.75) - at(0.25))) / 1.35 / Math.sqrt(differences.length)
  expect(Math.abs(at(0.5))).toBeLessThan(Math.max(milliseconds, 3 * standardError))
}
