import { randomBytes } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ConfigError, parseConfig } from './config.ts'

const KEY = randomBytes(32).toString('base64')

function faultsOf(env: Record<string, string>): readonly string[] {
  try {
    parseConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}

describe('parseConfig', () => {
  test('an empty environment is localhost with the embedded database', () => {
    expect(parseConfig({})).toMatchObject({
      issuer: 'http://localhost:4000',
      isLocal: true,
      listen: { host: '127.0.0.1', port: 4000 },
      management: { host: '127.0.0.1', port: 4001 },
      database: { kind: 'embedded' },
      masterKeys: undefined,
      lifetimes: { accessTokenSeconds: 900, sessionIdleSeconds: 1800, sessionAbsoluteSeconds: 86_400 },
    })
  })

  test('every fault is told at once', () => {
    const faults = faultsOf({
      PORT: 'abc',
      LOG_LEVEL: 'loud',
      ISSUER: 'http://login.example.com',
      ENCRYPTION_KEY: 'short',
    })
    expect(faults.map((fault) => fault.split(' ')[0])).toEqual([
      'ISSUER',
      'PORT',
      'ENCRYPTION_KEY',
      'LOG_LEVEL',
    ])
  })

  test.each([
    ['ISUER', 'ISSUER'],
    ['DATABSE_URL', 'DATABASE_URL'],
    ['ENCRYPTION_KEYS', 'ENCRYPTION_KEY'],
    ['PORTS', 'PORT'],
  ])('%s is reported as a near-miss of %s', (given, meant) => {
    expect(faultsOf({ [given]: 'x' })).toEqual([`${given} is not a setting: did you mean ${meant}?`])
  })

  test('what every shell has is no near-miss', () => {
    expect(
      faultsOf({
        HOME: '/root',
        PATH: '/bin',
        PWD: '/',
        USER: 'x',
        HOSTNAME: 'h',
        LANG: 'C',
        TERM: 'xterm',
        LOGNAME: 'x',
      }),
    ).toEqual([])
  })

  test.each([
    'https://login.example.com/path',
    'https://login.example.com?x=1',
    'https://login.example.com#x',
    'https://user:password@login.example.com',
    'ftp://login.example.com',
    'http://127.0.0.1.evil.test',
    'http://localhost.evil.test',
    'login.example.com',
  ])('the issuer %s is refused', (ISSUER) => {
    expect(faultsOf({ ISSUER, ENCRYPTION_KEY: KEY })).toHaveLength(1)
  })

  test('the issuer is kept as an origin, without the slash', () => {
    expect(parseConfig({ ISSUER: 'https://login.example.com/', ENCRYPTION_KEY: KEY }).issuer).toBe(
      'https://login.example.com',
    )
  })

  test('a master key is required with DATABASE_URL and outside localhost', () => {
    expect(faultsOf({ DATABASE_URL: 'postgres://localhost/x' })[0]).toContain('ENCRYPTION_KEY is required')
    expect(faultsOf({ ISSUER: 'https://login.example.com' })[0]).toContain('ENCRYPTION_KEY is required')
  })

  test('a master key of a few bytes over and over is refused outside localhost', () => {
    const typed = Buffer.from('aaaaaaaabbbbbbbbaaaaaaaabbbbbbbb').toString('base64')
    const ISSUER = 'https://login.example.com'
    expect(faultsOf({ ISSUER, ENCRYPTION_KEY: typed })[0]).toContain('not made at random')
    expect(faultsOf({ ISSUER, ENCRYPTION_KEY: `${KEY},${typed}` })).toHaveLength(1)
    expect(faultsOf({ ISSUER, ENCRYPTION_KEY: KEY })).toEqual([])
    expect(faultsOf({ ENCRYPTION_KEY: typed })).toEqual([])
  })

  test('several master keys make a ring, newest first', () => {
    const older = randomBytes(32).toString('base64')
    const { masterKeys } = parseConfig({ ENCRYPTION_KEY: `${KEY}, ${older}` })
    expect(masterKeys?.map((key) => key.toString('base64'))).toEqual([KEY, older])
  })

  test('a secret comes from a file, and not from two places', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'config-')), 'key')
    writeFileSync(file, `${KEY}\n`)
    expect(parseConfig({ ENCRYPTION_KEY_FILE: file }).masterKeys).toHaveLength(1)
    expect(faultsOf({ ENCRYPTION_KEY_FILE: file, ENCRYPTION_KEY: KEY })[0]).toContain('both set')
    expect(faultsOf({ ENCRYPTION_KEY_FILE: '/nowhere' })[0]).toContain('cannot read')
  })

  test('a list of networks that holds everybody is refused (RFC 9700 §2.6)', () => {
    for (const everybody of ['0.0.0.0/0', '::/0', '0.0.0.0/1,128.0.0.0/1', '::/1,8000::/1'])
      for (const name of ['TRUSTED_PROXIES', 'OUTBOUND_ALLOWED_NETWORKS'])
        expect(faultsOf({ [name]: everybody }), `${name}=${everybody}`).toHaveLength(1)
    expect(faultsOf({ TRUSTED_PROXIES: '10.0.0.0/99' })).toHaveLength(1)
    expect(faultsOf({ TRUSTED_PROXIES: 'proxy.local' })).toHaveLength(1)
    expect(parseConfig({ TRUSTED_PROXIES: '10.0.0.0/8, ::1' }).trustedProxies).toEqual(['10.0.0.0/8', '::1'])
  })

  test('an idle limit above the absolute one is refused', () => {
    expect(faultsOf({ SESSION_IDLE_SECONDS: '7200', SESSION_ABSOLUTE_SECONDS: '3600' })).toHaveLength(1)
    expect(
      faultsOf({ REFRESH_TOKEN_IDLE_SECONDS: '7200', REFRESH_TOKEN_ABSOLUTE_SECONDS: '3600' }),
    ).toHaveLength(1)
  })

  test('the result cannot be changed', () => {
    expect(Object.isFrozen(parseConfig({}).lifetimes)).toBe(true)
  })
})
