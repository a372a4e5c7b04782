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
  test('returns localhost with the embedded database for an empty environment', () => {
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

  test('reports all faults at once', () => {
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

  test('rejects misspelled settings', () => {
    expect(faultsOf({ ISUER: 'x', SALLYPORT_PORT: '80' })).toEqual([
      'ISUER is not a setting: did you mean ISSUER?',
      'SALLYPORT_PORT is not a setting: did you mean PORT?',
    ])
    expect(faultsOf({ HOME: '/root', PATH: '/bin', LANG: 'C' })).toEqual([])
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
  ])('rejects the issuer %s', (ISSUER) => {
    expect(faultsOf({ ISSUER, ENCRYPTION_KEY: KEY })).toHaveLength(1)
  })

  test('removes the slash after the issuer’s origin', () => {
    expect(parseConfig({ ISSUER: 'https://login.example.com/', ENCRYPTION_KEY: KEY }).issuer).toBe(
      'https://login.example.com',
    )
  })

  test('requires a master key with DATABASE_URL and outside localhost', () => {
    expect(faultsOf({ DATABASE_URL: 'postgres://localhost/x' })[0]).toContain('ENCRYPTION_KEY is required')
    expect(faultsOf({ ISSUER: 'https://login.example.com' })[0]).toContain('ENCRYPTION_KEY is required')
  })

  test('rejects a master key with few distinct bytes outside localhost', () => {
    const typed = Buffer.from('aaaaaaaabbbbbbbbaaaaaaaabbbbbbbb').toString('base64')
    const ISSUER = 'https://login.example.com'
    expect(faultsOf({ ISSUER, ENCRYPTION_KEY: typed })[0]).toContain('not made at random')
    expect(faultsOf({ ISSUER, ENCRYPTION_KEY: `${KEY},${typed}` })).toHaveLength(1)
    expect(faultsOf({ ISSUER, ENCRYPTION_KEY: KEY })).toEqual([])
    expect(faultsOf({ ENCRYPTION_KEY: typed })).toEqual([])
  })

  test('accepts several master keys, newest first', () => {
    const older = randomBytes(32).toString('base64')
    const { masterKeys } = parseConfig({ ENCRYPTION_KEY: `${KEY}, ${older}` })
    expect(masterKeys?.map((key) => key.toString('base64'))).toEqual([KEY, older])
  })

  test('reads a secret from a file, and rejects two sources', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'config-')), 'key')
    writeFileSync(file, `${KEY}\n`)
    expect(parseConfig({ ENCRYPTION_KEY_FILE: file }).masterKeys).toHaveLength(1)
    expect(faultsOf({ ENCRYPTION_KEY_FILE: file, ENCRYPTION_KEY: KEY })[0]).toContain('both set')
    expect(faultsOf({ ENCRYPTION_KEY_FILE: '/nowhere' })[0]).toContain('cannot read')
  })

  test('rejects networks that include nearly every address', () => {
    for (const wide of ['0.0.0.0/0', '::/0', '0.0.0.0/1,128.0.0.0/1', '::/1,8000::/1'])
      for (const name of ['TRUSTED_PROXIES', 'OUTBOUND_ALLOWED_NETWORKS'])
        expect(faultsOf({ [name]: wide }), `${name}=${wide}`).toHaveLength(1)
    expect(faultsOf({ TRUSTED_PROXIES: '10.0.0.0/99' })).toHaveLength(1)
    expect(faultsOf({ TRUSTED_PROXIES: 'proxy.local' })).toHaveLength(1)
    expect(parseConfig({ TRUSTED_PROXIES: '10.0.0.0/8, ::1' }).trustedProxies).toEqual(['10.0.0.0/8', '::1'])
  })

  test('rejects an idle limit above the absolute limit', () => {
    expect(faultsOf({ SESSION_IDLE_SECONDS: '7200', SESSION_ABSOLUTE_SECONDS: '3600' })).toHaveLength(1)
    expect(
      faultsOf({ REFRESH_TOKEN_IDLE_SECONDS: '7200', REFRESH_TOKEN_ABSOLUTE_SECONDS: '3600' }),
    ).toHaveLength(1)
  })

  test('returns a frozen object', () => {
    expect(Object.isFrozen(parseConfig({}).lifetimes)).toBe(true)
  })

  test('disables self-service where mail cannot be sent', () => {
    const postgres = { DATABASE_URL: 'postgres://localhost/x', ENCRYPTION_KEY: KEY }
    const reachable = { ISSUER: 'https://login.example.com', ENCRYPTION_KEY: KEY }
    const on = { passwordReset: true, emailChange: true, registration: false }
    expect(parseConfig({ DATA_DIR: '/data' }).mail).toMatchObject({ by: 'folder', folder: '/data/outbox' })
    expect(parseConfig({}).offers).toEqual(on)
    // On Postgres and with a public issuer there is no mail folder.
    for (const env of [postgres, reachable, { ...postgres, ...reachable }]) {
      expect(parseConfig(env).mail.by).toBe('nothing')
      expect(parseConfig(env).offers).toEqual({ ...on, passwordReset: false, emailChange: false })
      for (const name of ['SELF_REGISTRATION', 'PASSWORD_RESET', 'EMAIL_CHANGE'])
        expect(faultsOf({ ...env, [name]: 'on' })).toEqual([`${name} needs mail: set SMTP_URL`])
      expect(parseConfig({ ...env, SMTP_URL: 'smtps://mail.example.com' }).offers).toEqual(on)
    }
  })

  test('requires TLS to a mail server, except on localhost', () => {
    const serverOf = (SMTP_URL: string) => {
      const { mail } = parseConfig({ SMTP_URL })
      return mail.by === 'smtp' ? mail.server : undefined
    }
    expect(serverOf('smtps://ada:p%40ss@mail.example.com')).toEqual({
      host: 'mail.example.com',
      port: 465,
      tls: 'always',
      credentials: { user: 'ada', password: 'p@ss' },
    })
    expect(serverOf('smtp://mail.example.com')).toMatchObject({ port: 587, tls: 'starttls' })
    expect(serverOf('smtp://localhost:1025')).toMatchObject({ port: 1025, tls: 'never' })
    expect(serverOf('smtp://[::1]:1025')).toMatchObject({ host: '::1', tls: 'never' })
  })

  test.each([
    'mail.example.com',
    'https://mail.example.com',
    'smtp://',
    'smtp://mail.example.com/path',
    'smtp://mail.example.com?ignoreTLS=true',
    'smtp://ada@mail.example.com',
    'smtp://ada:%zz@mail.example.com',
  ])('rejects the mail server %s', (SMTP_URL) => {
    expect(faultsOf({ SMTP_URL })[0]).toMatch(/^SMTP_URL must/)
  })

  test('accepts a sender with or without a name', () => {
    const senderOf = (MAIL_FROM: string) => parseConfig({ MAIL_FROM }).mail.from
    expect(parseConfig({}).mail.from).toEqual({ name: 'Sallyport', address: 'no-reply@localhost' })
    expect(senderOf('a@b.example')).toEqual({ name: undefined, address: 'a@b.example' })
    expect(senderOf('Harbour, Inc. <a@b.example>')).toEqual({ name: 'Harbour, Inc.', address: 'a@b.example' })
    expect(senderOf('"Harbour" <a@b.example>')).toEqual({ name: 'Harbour', address: 'a@b.example' })
    for (const MAIL_FROM of ['nobody', 'A <a@b.example>, B <b@c.example>', 'A\r\nBcc: x <a@b.example>', '<>'])
      expect(faultsOf({ MAIL_FROM })[0]).toMatch(/^MAIL_FROM must/)
  })
})
