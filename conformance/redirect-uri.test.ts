import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AdminError } from '../src/admin/input.ts'
import { createTestClient, expectErrorPage, expectTokenError, type TestClient } from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { send } from './support/http.ts'
import { CALLBACK } from './support/relying-party.ts'

const WITH_QUERY = 'https://app.example.test/callback?tenant=a'
const LOCAL = 'http://localhost:3000/callback'

let server: TestServer
let web: TestClient
let native: TestClient
let ada: EndUser

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create({ username: 'ada', password: PASSWORD })
  web = await createTestClient(server, {
    first_party: true,
    redirect_uris: [CALLBACK, WITH_QUERY, LOCAL],
  })
  native = await createTestClient(server, {
    type: 'native',
    client_name: 'Pocket Harbour',
    redirect_uris: [
      'http://127.0.0.1/callback',
      'http://[::1]/callback',
      'http://127.0.0.1:7777/fixed?a=b',
      'com.example.app:/callback',
    ],
  })
  ada = new EndUser(server.issuer)
  await web.getCode({}, ada)
})
afterAll(() => server?.remove())

/** Sends an authorization request with a redirect URI. */
async function ask(app: TestClient, redirect_uri: string) {
  const { url } = await app.request({ redirect_uri, prompt: 'none' })
  const headers = { accept: 'text/html', cookie: await ada.jar.getCookieString(server.issuer) }
  return await send(String(url), { headers })
}

/** Expects a redirect to exactly this URI (`prompt=none`, so without a page). */
async function expectSentTo(app: TestClient, redirectUri: string): Promise<void> {
  const { status, headers, text } = await ask(app, redirectUri)
  expect(status, text).toBe(303)
  const location = headers.get('location') ?? ''
  expect(
    location.startsWith(redirectUri.includes('?') ? `${redirectUri}&` : `${redirectUri}?`),
    location,
  ).toBe(true)
}

describe('a redirect URI of a web client is compared as a string (RFC 9700 §2.1)', () => {
  test.for([CALLBACK, WITH_QUERY, LOCAL])('accepts %s as registered', async (uri) => {
    await expectSentTo(web, uri)
  })

  test.for([
    ['a slash at the end', 'https://app.example.test/callback/'],
    ['an upper-case path', 'https://app.example.test/Callback'],
    ['an upper-case host', 'https://APP.example.test/callback'],
    ['an upper-case scheme', 'HTTPS://app.example.test/callback'],
    ['an added query', 'https://app.example.test/callback?x=1'],
    ['an empty query', 'https://app.example.test/callback?'],
    ['an added parameter', 'https://app.example.test/callback?tenant=a&x=1'],
    ['another value', 'https://app.example.test/callback?tenant=b'],
    ['the default port', 'https://app.example.test:443/callback'],
    ['another port', 'https://app.example.test:8443/callback'],
    ['an encoded letter', 'https://app.example.test/c%61llback'],
    ['an encoded dot', 'https://app%2eexample.test/callback'],
    ['a fragment', 'https://app.example.test/callback#x'],
    ['an empty fragment', 'https://app.example.test/callback#'],
    ['/../', 'https://app.example.test/x/../callback'],
    ['/..;/', 'https://app.example.test/callback/..;/evil'],
    ['%2e%2e/', 'https://app.example.test/x/%2e%2e/callback'],
    ['a longer path', 'https://app.example.test/callback/evil'],
    ['a shorter path', 'https://app.example.test/'],
    ['a dot at the end of the host', 'https://app.example.test./callback'],
    ['a host that only ends the same', 'https://evil-app.example.test/callback'],
    ['a host that only begins the same', 'https://app.example.test.evil.test/callback'],
    ['a subdomain', 'https://x.app.example.test/callback'],
    ['a dot as any letter', 'https://appxexample.test/callback'],
    ['user information', 'https://app.example.test@evil.test/callback'],
    ['user information before the right host', 'https://evil@app.example.test/callback'],
    ['a backslash', 'https://evil.test\\@app.example.test/callback'],
    ['a space before', ' https://app.example.test/callback'],
    ['a tab within', 'https://app.example.test/call\tback'],
    ['a line feed after', 'https://app.example.test/callback\n'],
    ['http', 'http://app.example.test/callback'],
    ['no scheme', '//app.example.test/callback'],
    ['a relative path', '/callback'],
    ['javascript', 'javascript:alert(1)'],
    ['another loopback port', 'http://localhost:4000/callback'],
    ['no loopback port', 'http://localhost/callback'],
    ['another loopback name', 'http://127.0.0.1:3000/callback'],
    ['a host that begins as loopback', 'http://localhost.evil.test:3000/callback'],
    ['two in one', `${CALLBACK} ${LOCAL}`],
  ])('rejects without a redirect: %s: %s', async ([, uri]) => {
    expectErrorPage(await ask(web, uri ?? ''))
  })
})

describe('a redirect URI of a native client on the loopback interface (RFC 8252 §7.3)', () => {
  test.for([
    'http://127.0.0.1/callback',
    'http://127.0.0.1:51004/callback',
    'http://127.0.0.1:1/callback',
    'http://[::1]:51004/callback',
    'http://127.0.0.1:51004/fixed?a=b',
    'com.example.app:/callback',
  ])('accepts %s with any port', async (uri) => {
    await expectSentTo(native, uri)
  })

  test.for([
    ['another path', 'http://127.0.0.1:51004/callback/'],
    ['an added query', 'http://127.0.0.1:51004/callback?x=1'],
    ['a left out query', 'http://127.0.0.1:51004/fixed'],
    ['a fragment', 'http://127.0.0.1:51004/callback#x'],
    ['https', 'https://127.0.0.1:51004/callback'],
    ['another name of it', 'http://localhost:51004/callback'],
    ['another address of it', 'http://127.0.0.2:51004/callback'],
    ['another spelling of it', 'http://127.1:51004/callback'],
    ['every address', 'http://0.0.0.0:51004/callback'],
    ['a port that is none', 'http://127.0.0.1:99999/callback'],
    ['user information', 'http://evil@127.0.0.1:51004/callback'],
    ['user information that looks like it', 'http://127.0.0.1:51004@evil.test/callback'],
    ['a host that begins the same', 'http://127.0.0.1.evil.test/callback'],
    ['a private scheme in upper case', 'COM.EXAMPLE.APP:/callback'],
    ['a private scheme with a host', 'com.example.app://callback'],
  ])('rejects without a redirect: %s: %s', async ([, uri]) => {
    expectErrorPage(await ask(native, uri ?? ''))
  })

  test('needs consent every time, because any program can listen there (RFC 8252 §8.6)', async () => {
    const uri = 'http://127.0.0.1:51004/callback'
    const user = new EndUser(server.issuer)
    const { url } = await native.request({ redirect_uri: uri })
    expect((await user.signInAndAgree(url)).leftTo?.searchParams.get('code')).toBeTruthy()
    const again = await user.open((await native.request({ redirect_uri: uri })).url)
    expect(again.$('button[name=action][value=approve]')).toHaveLength(1)
    const silent = await native.authorizeSilently(user, { redirect_uri: uri })
    expect(silent.get('error')).toMatch(/^(consent|interaction)_required$/)
  })

  test('binds the code to the port it was sent to (RFC 6749 §4.1.3)', async () => {
    const asked = 'http://127.0.0.1:51004/callback'
    const { form } = await native.getCode({ redirect_uri: asked })
    expectTokenError(await native.token({ ...form, redirect_uri: 'http://127.0.0.1:51005/callback' }))
    expectTokenError(await native.token({ ...form, redirect_uri: 'http://127.0.0.1/callback' }))
    expect((await native.token({ ...form, redirect_uri: asked })).status).toBe(200)
  })
})

describe('the registration', () => {
  type Uris = readonly (readonly [what: string, uri: string])[]
  const always: Uris = [
    ['a wildcard', 'https://*.example.test/callback'],
    ['a wildcard path', 'https://app.example.test/*'],
    ['a wildcard alone', '*'],
    ['a fragment', 'https://app.example.test/callback#x'],
    ['an empty fragment', 'https://app.example.test/callback#'],
    ['a host that begins as localhost', 'http://localhost.evil.test/callback'],
    ['a host that begins as 127.0.0.1', 'http://127.0.0.1.evil/callback'],
    ['http elsewhere', 'http://app.example.test/callback'],
    ['http in a private network', 'http://192.168.1.10/callback'],
    ['user information', 'https://ada@app.example.test/callback'],
    ['user information before loopback', 'http://evil.test@localhost/callback'],
    ['no normal form: the default port', 'https://app.example.test:443/callback'],
    ['no normal form: a path that climbs', 'https://app.example.test/x/../callback'],
    ['no normal form: upper case', 'https://APP.example.test/callback'],
    ['no normal form: a space', ' https://app.example.test/callback'],
    ['no normal form: letters beyond ASCII', 'https://äpp.example.test/callback'],
    ['no URI', 'callback'],
    ['nothing', ''],
    ['javascript', 'javascript:alert(1)'],
    ['data', 'data:text/html,x'],
    ['file', 'file:///etc/passwd'],
    ['a script within a view', 'view-source:https://app.example.test/'],
    ...['code', 'state', 'iss', 'error', 'error_description', 'id_token', 'access_token', 'response'].map(
      (name) => [`the parameter ${name}`, `https://app.example.test/callback?x=1&${name}=1`] as const,
    ),
    ['an encoded parameter', 'https://app.example.test/callback?%63ode=1'],
    ['a NUL, escaped', 'https://app.example.test/callback%00'],
    ['a NUL, escaped, in the query', 'https://app.example.test/callback?x=%00'],
    ['a line break, escaped', 'https://app.example.test/callback%0d%0aset-cookie:x'],
    ['a tab, escaped', 'https://app.example.test/call%09back'],
    ['DEL, escaped', 'https://app.example.test/callback%7F'],
    ['a control character of Latin-1, escaped', 'https://app.example.test/callback%c2%85'],
    ['a line separator, escaped', 'https://app.example.test/callback%E2%80%A8'],
    ['a character that turns the text, escaped', 'https://app.example.test/callback%E2%80%AE'],
    ['a tab', 'https://app.example.test/call\tback'],
    ['a line feed', 'https://app.example.test/callback\n'],
    ['a NUL', 'https://app.example.test/callback\0'],
    ['a control character of Latin-1', 'https://app.example.test/callback\u0085'],
    ['a backslash, escaped', 'https://app.example.test/callback%5c..%5cevil'],
    ['an escape of no UTF-8', 'https://app.example.test/callback%ff'],
    ['an overlong escape', 'https://app.example.test/callback%c0%80'],
    ['half an escape', 'https://app.example.test/callback%0'],
    ['an escape of another kind', 'https://app.example.test/callback%u0000'],
  ]
  const ofNative: Uris = [
    ['a private scheme without a dot', 'myapp:/callback'],
    ['a private scheme with a reserved parameter', 'com.example.app:/callback?code=1'],
    ['https on loopback', 'https://127.0.0.1/callback'],
    ['a private scheme with a NUL, escaped', 'com.example.app:/callback%00'],
    ['a private scheme with a tab', 'com.example.app:/call\tback'],
  ]
  const ofWeb: Uris = [['a private scheme', 'com.example.app:/callback']]

  const GOOD = { web: CALLBACK, native: 'http://127.0.0.1/callback' }
  const create = (type: 'web' | 'native', uris: Record<string, string[]>) =>
    server.admin.clients.create({ type, client_name: 'X', redirect_uris: [GOOD[type]], ...uris })

  test.for([
    ...always.flatMap(([what, uri]) => [['web', what, uri] as const, ['native', what, uri] as const]),
    ...ofNative.map(([what, uri]) => ['native', what, uri] as const),
    ...ofWeb.map(([what, uri]) => ['web', what, uri] as const),
  ])('of a %s client rejects %s: %s (RFC 9700 §2.1, §4.1.3)', async ([type, , uri]) => {
    const before = (await server.admin.clients.list()).length
    for (const name of ['redirect_uris', 'post_logout_redirect_uris']) {
      await expect(create(type, { [name]: [GOOD[type], uri] })).rejects.toBeInstanceOf(AdminError)
      await expect(create(type, { [name]: [GOOD[type], uri] })).rejects.toThrow(name)
    }
    expect(await server.admin.clients.list()).toHaveLength(before)
  })

  test.for(['client_uri', 'policy_uri', 'tos_uri', 'jwks_uri', 'backchannel_logout_uri'])(
    'rejects control characters in %s, raw and escaped (CWE-158)',
    async (name) => {
      for (const uri of [
        'https://app.example.test/x%00',
        'https://app.example.test/x%0a',
        'https://app.exa\tmple.test/x',
      ])
        await expect(
          server.admin.clients.create({
            type: 'web',
            client_name: 'X',
            redirect_uris: [CALLBACK],
            [name]: uri,
          }),
        ).rejects.toThrow(name)
    },
  )

  test('rejects control characters in the identifier of a resource, raw and escaped (CWE-158)', async () => {
    for (const identifier of ['https://api.example.test/%00', 'https://api.exa\nmple.test/', 'urn:x:%0a'])
      await expect(
        server.admin.resources.create({ identifier, scope: 'read', format: 'jwt' }),
      ).rejects.toThrow('identifier')
  })

  test('rejects the same in an update, and keeps the previous value (RFC 9700 §2.1)', async () => {
    const { client_id } = await create('web', {})
    const change = { client_id, redirect_uris: ['https://*.example.test/callback'] }
    await expect(server.admin.clients.update(change)).rejects.toBeInstanceOf(AdminError)
    expect((await server.admin.clients.show({ client_id })).redirect_uris).toEqual([CALLBACK])
  })

  test('of a client with the code grant requires a redirect URI, and of others rejects one (RFC 6749 §3.1.2.2)', async () => {
    for (const type of ['web', 'spa', 'native'])
      await expect(server.admin.clients.create({ type, client_name: 'X' })).rejects.toBeInstanceOf(AdminError)
    for (const type of ['service', 'device']) {
      const document = { type, client_name: 'X', redirect_uris: [CALLBACK] }
      await expect(server.admin.clients.create(document)).rejects.toBeInstanceOf(AdminError)
    }
  })

  test.for<['web' | 'native', string]>([
    ['web', 'http://localhost:3000/callback'],
    ['web', 'http://127.0.0.1:3000/callback'],
    ['web', 'https://app.example.test/callback?tenant=a'],
    ['web', 'https://app.example.test/%C3%A4?q=b%5Cc'],
    ['web', 'https://app.example.test/'],
    ['native', 'http://[::1]/callback'],
    ['native', 'https://app.example.test/claimed'],
    ['native', 'com.example.app:/callback'],
  ])('of a %s client accepts %s (RFC 8252 §7)', async ([type, uri]) => {
    const { redirect_uris } = await create(type, { redirect_uris: [uri] })
    expect(redirect_uris).toEqual([uri])
    const app = await createTestClient(server, { type, redirect_uris: [uri] })
    await expectSentTo(app, uri)
  })
})

describe('a redirect URI at the token endpoint', () => {
  test.for<[what: string, uri: string | undefined, error: string]>([
    ['another registered URI', WITH_QUERY, 'invalid_grant'],
    ['an unknown URI', 'https://evil.test/callback', 'invalid_grant'],
    ['another spelling', `${CALLBACK}/`, 'invalid_grant'],
    ['none', undefined, 'invalid_request'],
  ])('that is %s is rejected, and the code stays valid (RFC 6749 §4.1.3)', async ([, uri, error]) => {
    const { form } = await web.getCode({}, ada)
    const { redirect_uri, ...rest } = form
    expectTokenError(await web.token(uri === undefined ? rest : { ...rest, redirect_uri: uri }), error)
    expect((await web.token(form)).status).toBe(200)
  })
})
