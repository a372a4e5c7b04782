import { expect, test } from 'vitest'
import { nearnessOf, networkOf } from './network.ts'

test.each([
  ['203.0.113.9', '203.0.113.9'],
  ['::ffff:203.0.113.9', '203.0.113.9'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:0001:0002::1', '2001:db8:1:2::/64'],
  ['::1', '::/64'],
  ['not an address', 'not an address'],
])('the network of %s is %s', (address, network) => expect(networkOf(address)).toBe(network))

test.each([
  ['203.0.113.9', '203.0.113.9', 'near'],
  ['::ffff:203.0.113.9', '203.0.113.9', 'near'],
  ['203.0.113.9', '203.0.113.10', 'far'],
  ['2001:db8:1:2::3', '2001:db8:1:2:ffff::1', 'near'],
  ['2001:db8:1:2::3', '2001:db8:1:3::3', 'far'],
  ['203.0.113.9', '2001:db8:1:2::3', 'unknown'],
  ['203.0.113.9', undefined, 'unknown'],
  [undefined, undefined, 'unknown'],
  ['', '', 'unknown'],
  ['not an address', 'not an address', 'unknown'],
  ['10.0.0.5', '10.0.0.5', 'unknown'],
  ['10.0.0.5', '10.0.0.6', 'far'],
  ['172.17.0.1', '172.17.0.1', 'unknown'],
  ['127.0.0.1', '127.0.0.1', 'unknown'],
  ['::1', '::1', 'unknown'],
  ['::1', '127.0.0.1', 'unknown'],
  ['fd00::1', 'fd00::2', 'unknown'],
  ['fe80::1', 'fe80::1', 'unknown'],
  ['203.0.113.9', '10.0.0.5', 'far'],
])('%s, seen from %s, is %s', (address, other, expected) =>
  expect(nearnessOf(address, other, { isLocal: false })).toBe(expected),
)

test.each([
  ['127.0.0.1', '127.0.0.1', 'near'],
  ['::1', '127.0.0.1', 'near'],
  ['10.0.0.5', '10.0.0.5', 'near'],
  ['127.0.0.1', '203.0.113.9', 'far'],
  ['::1', '203.0.113.9', 'unknown'],
  [undefined, '127.0.0.1', 'unknown'],
])('%s, seen from %s on the machine of the server, is %s', (address, other, expected) =>
  expect(nearnessOf(address, other, { isLocal: true })).toBe(expected),
)
