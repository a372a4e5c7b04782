import { describe, expect, test } from 'vitest'
import { redirectUriFault } from './redirect-uri.ts'

describe('registers the redirect URI', () => {
  test.each([
    ['https://app.example.test/callback', false],
    ['https://app.example.test', false],
    ['https://app.example.test/callback?tenant=1', false],
    ['http://localhost:3000/callback', false],
    ['http://127.0.0.1/callback', true],
    ['http://[::1]/callback', true],
    ['com.example.app:/callback', true],
    ['https://app.example.test/native', true],
  ])('%s', (uri, isNative) => {
    expect(redirectUriFault(uri, { isNative })).toBeUndefined()
  })
})

describe('rejects as a redirect URI', () => {
  test.each([
    ['a relative one', '/callback', false],
    ['http on another machine (RFC 9700 §2.6)', 'http://app.example.test/callback', false],
    ['a host that begins with localhost', 'http://localhost.evil.test/cb', true],
    ['a host that begins with a loopback address', 'http://127.0.0.1.evil.test/cb', true],
    ['a wildcard host', 'https://*.example.test/cb', false],
    ['a wildcard path', 'https://app.example.test/*', false],
    ['a fragment (RFC 6749 §3.1.2)', 'https://app.example.test/cb#x', false],
    ['an empty fragment', 'https://app.example.test/cb#', false],
    ['credentials', 'https://user:pass@app.example.test/cb', false],
    ['a path with dot segments (RFC 3986 §6.2.2.3)', 'https://app.example.test/a/../cb', false],
    ['a path with encoded dot segments', 'https://app.example.test/a/%2e%2e/cb', false],
    ['a default port written out', 'https://app.example.test:443/cb', false],
    ['a host in upper case', 'https://APP.example.test/cb', false],
    ['a space', ' https://app.example.test/cb', false],
    ['the parameter code', 'https://app.example.test/cb?code=1', false],
    ['the parameter state', 'https://app.example.test/cb?state=1', false],
    ['the parameter iss', 'https://app.example.test/cb?iss=1', false],
    ['the parameter error', 'https://app.example.test/cb?error=1', false],
    ['a javascript: URI', 'javascript:alert(1)', true],
    ['a data: URI', 'data:text/html,x', true],
    ['a private scheme without a dot (RFC 8252 §7.1)', 'myapp:/callback', true],
    ['a private scheme for a web app', 'com.example.app:/callback', false],
  ])('%s', (_kind, uri, isNative) => {
    expect(redirectUriFault(uri, { isNative })).toBeTypeOf('string')
  })
})
