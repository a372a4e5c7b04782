import { expect, test } from 'vitest'
import { median, medianKnown, percentile } from './statistics.ts'

test('a percentile is the value that this share does not exceed', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1)
  expect(percentile(hundred, 0.5)).toBe(50)
  expect(percentile(hundred, 0.99)).toBe(99)
  expect(percentile([7], 0.99)).toBe(7)
  expect(percentile([], 0.5)).toBeNaN()
})

test('the median of an even number is the mean of the middle two', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 2, 3])).toBe(2.5)
  expect(median([])).toBeNaN()
})

test('what is unknown does not count for the median', () => {
  expect(medianKnown([undefined, 2, undefined])).toBe(2)
  expect(medianKnown([undefined])).toBeUndefined()
})
