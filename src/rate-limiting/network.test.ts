import { expect, test } from 'vitest'
import { nearnessOf, networkOf, networksOf, siteOf, widestNetworkOf } from './network.ts'

test('returns the /64, /56 and /48 of an IPv6 address, each with a larger budget (RFC 6177 §2)', () => {
  expect(networksOf('2001:db8:1:1234::5')).toEqual([
    { prefix: '2001:db8:1:1234::/64', budget: 1 },
    { prefix: '2001:db8:1:1200::/56', budget: 4 },
    { prefix: '2001:db8:1::/48', budget: 16 },
  ])
  expect(widestNetworkOf('2001:db8:1:1234::5')).toBe('2001:db8:1::/48')
})

test('returns an IPv4 address as its own network', () => {
  expect(networksOf('203.0.113.9')).toEqual([{ prefix: '203.0.113.9', budget: 1 }])
  expect(widestNetworkOf('203.0.113.9')).toBe('203.0.113.9')
})

test.each([
  ['203.0.113.9', '203.0.113.9'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:0001:0002::1', '2001:db8:1:2::/64'],
  ['fe80::1%eth0', 'fe80::/64'],
  ['FE80::1%25lo', 'fe80::/64'],
  ['::1', '::/64'],
  ['not an address', 'unknown'],
  ['', 'unknown'],
  ['3405803785', 'unknown'],
  ['0xcb.0.113.9', 'unknown'],
])('the network of %s is %s', (address, network) => expect(networkOf(address)).toBe(network))

test.each([
  ['IPv4-mapped', '::ffff:203.0.113.9'],
  ['IPv4-mapped, in hex', '::FFFF:CB00:7109'],
  ['IPv4-translated (RFC 6145)', '::ffff:0:203.0.113.9'],
  ['NAT64 (RFC 6052)', '64:ff9b::203.0.113.9'],
  ['NAT64 of one place (RFC 8215)', '64:ff9b:1::203.0.113.9'],
  ['6to4 (RFC 3056)', '2002:cb00:7109:1234::1'],
  ['Teredo (RFC 4380)', '2001:0:4136:e378:8000:63bf:34ff:8ef6'],
])('the network of an IPv4 address is the same in every form: %s', (_, address) => {
  expect(networksOf(address)).toEqual([{ prefix: '203.0.113.9', budget: 1 }])
})

test.each([
  ['203.0.113.9', '203.0.113.0/24'],
  ['2001:db8::1', '2001:db8::/48'],
  ['2001:db8:0:1::5', '2001:db8::/48'],
  ['2001:0db8:0000:0002:0:0:0:5', '2001:db8::/48'],
])('the site of %s is %s', (address, site) => expect(siteOf(address)).toBe(site))

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
