import { expect, test } from 'vitest'
import { median, medianKnown, percentile } from './statistics.ts'

test('percentile returns the value of the nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1)
  expect(percentile(hundred, 0.5)).toBe(50)
  expect(percentile(hundred, 0.99)).toBe(99)
  expect(percentile([7], 0.99)).toBe(7)
  expect(percentile([], 0.5)).toBeNaN()
})

test('the median of an even count is the mean of the middle two values', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 2, 3])).toBe(2.5)
  expect(median([])).toBeNaN()
})

test('medianKnown ignores unknown values', () => {
  expect(medianKnown([undefined, 2, undefined])).toBe(2)
  expect(medianKnown([undefined])).toBeUndefined()
})
