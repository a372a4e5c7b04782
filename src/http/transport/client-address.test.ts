import { describe, expect, test } from 'vitest'
import { createClientAddresses } from './client-address.ts'

const PROXY = '10.1.2.3'
const findFrom = createClientAddresses(['10.0.0.0/8', '2001:db8:ffff::/48', 'fe80::/64'])

/** Finds the client address of a request from this peer with this `X-Forwarded-For`. */
function find(forwardedFor: string | undefined, peer = PROXY) {
  return findFrom({ peer, headers: forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor } })
}

describe('X-Forwarded-For of a trusted proxy', () => {
  test.each([
    ['203.0.113.9', '203.0.113.9'],
    ['203.0.113.9:50412', '203.0.113.9'],
    ['203.0.113.9:_hidden', '203.0.113.9'],
    ['"203.0.113.9:50412"', '203.0.113.9'],
    [' 203.0.113.9\t', '203.0.113.9'],
    ['2001:db8::7', '2001:db8::7'],
    ['2001:DB8:0:0::0007', '2001:db8::7'],
    ['[2001:db8::7]', '2001:db8::7'],
    ['[2001:db8::7]:50412', '2001:db8::7'],
    ['"[2001:db8::7]:50412"', '2001:db8::7'],
    ['[2001:db8::7%eth0]:50412', '2001:db8::7'],
    ['fe80::1%25eth0', 'fe80::1'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['::ffff:cb00:7109', '203.0.113.9'],
    ['[::ffff:203.0.113.9]:443', '203.0.113.9'],
  ])('returns the address in %j (RFC 7239 §6)', (entry, address) => {
    expect(find(entry)).toEqual({ address, doubt: undefined })
  })

  test.each([
    'unknown',
    'unknown:50412',
    '_hidden',
    '"_SEVKISEK"',
    '',
    ' ',
    '<script>',
    '999.1.1.1',
    '203.0.113.9:',
    '203.0.113.9:port',
    '203.0.113.9:123456',
    '203.0.113.9 203.0.113.8',
    '010.0.0.1',
    '1',
    '0x7f000001',
    '203.0.113.9/24',
    '[203.0.113.9]:50412',
    '[2001:db8::7',
    '2001:db8::7]:50412',
    '[2001:db8::7]50412',
    '"203.0.113.9',
    '203.0.113.9"',
    'unix:',
    '198.51.100.1, ',
    '198.51.100.1, unknown',
    'for=203.0.113.9',
  ])('returns the address of the proxy when the last entry is %j, and doubts it', (entry) => {
    expect(find(entry)).toEqual({ address: PROXY, doubt: 'unreadable' })
  })

  test.each([
    ['198.51.100.1, 203.0.113.7', '203.0.113.7'],
    ['198.51.100.1:1, 203.0.113.7:50412, 10.9.9.9:443, [2001:db8:ffff::1]:443', '203.0.113.7'],
    ['203.0.113.7:1,"[2001:db8:ffff::1]:2"\t,::ffff:10.9.9.9', '203.0.113.7'],
    ['203.0.113.7, fe80::1%eth0', '203.0.113.7'],
    ['10.4.4.4, 10.9.9.9', '10.4.4.4'],
    ['unknown, 203.0.113.7', '203.0.113.7'],
  ])('walks the trusted proxies of %j from the right', (chain, address) => {
    expect(find(chain)).toEqual({ address, doubt: undefined })
  })

  test('returns the last known address when an outer proxy sends none', () => {
    expect(find('203.0.113.7, unknown, 10.9.9.9')).toEqual({ address: '10.9.9.9', doubt: 'unreadable' })
  })

  test.each(['::ffff:10.1.2.3', '::ffff:a01:203', '2001:db8:ffff::9', 'fe80::9%eth0'])(
    'counts from the peer %s, in whatever form the system names it',
    (peer) => {
      expect(find('203.0.113.9', peer)).toEqual({ address: '203.0.113.9', doubt: undefined })
    },
  )

  test('marks the address of a proxy without the header as doubtful', () => {
    expect(find(undefined)).toEqual({ address: PROXY, doubt: 'missing' })
  })

  test.each(['forwarded', 'x-real-ip'])('does not read %s: a client could have written it', (name) => {
    const found = findFrom({ peer: PROXY, headers: { [name]: 'for=203.0.113.9' } })
    expect(found).toEqual({ address: PROXY, doubt: 'unreadable' })
  })
})

describe('a peer that is not a trusted proxy', () => {
  test.each(['192.0.2.9', '::ffff:192.0.2.9'])('is the client (%s)', (peer) => {
    expect(find(undefined, peer)).toEqual({ address: '192.0.2.9', doubt: undefined })
  })

  test.each(['x-forwarded-for', 'forwarded', 'x-real-ip'])(
    'is not believed when it sends %s, and doubted',
    (name) => {
      const found = findFrom({ peer: '192.0.2.9', headers: { [name]: '203.0.113.9' } })
      expect(found).toEqual({ address: '192.0.2.9', doubt: 'untrusted' })
    },
  )
})
