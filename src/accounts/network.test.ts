import { expect, test } from 'vitest'
import { isNear, networkOf } from './network.ts'

test.each([
  ['203.0.113.9', '203.0.113.9'],
  ['::ffff:203.0.113.9', '203.0.113.9'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:0001:0002::1', '2001:db8:1:2::/64'],
  ['::1', '::/64'],
  ['not an address', 'not an address'],
])('the network of %s is %s', (address, network) => expect(networkOf(address)).toBe(network))

test.each([
  ['203.0.113.9', '203.0.113.9', true],
  ['203.0.113.9', '203.0.113.10', false],
  ['2001:db8:1:2::3', '2001:db8:1:2:ffff::1', true],
  ['2001:db8:1:2::3', '2001:db8:1:3::3', false],
  ['203.0.113.9', '2001:db8:1:2::3', undefined],
])('%s is near %s: %s', (address, other, expected) => expect(isNear(address, other)).toBe(expected))
