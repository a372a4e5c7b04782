import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair } from 'jose'
import Koa, { type Middleware } from 'koa'
import compose from 'koa-compose'
import type { Adapter, AdapterPayload, Provider } from 'oidc-provider'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { parseConfig } from '../../config/config.ts'
import { createVault, randomMasterKey, sha256 } from '../../crypto/vault.ts'
import { createLog } from '../../log.ts'
import { DEVICE_GRANT_TYPE } from '../../store/client/grant-type.ts'
import { toEngineMetadata } from '../client/client-metadata.ts'
import { createRequestContexts, currentRequest } from '../engine/request-context.ts'
import { createEngine } from '../provider.ts'
import { cookieKeys } from '../session/cookies.ts'

const ISSUER = 'http://localhost'
const SECRET = 'a client secret of the test'
const REDIRECT_URI = 'http://localhost/callback'
const SUB = 'ada'
const PKCE = {
  code_verifier: 'a-verifier-of-at-least-forty-three-characters-length',
  code_challenge: sha256('a-verifier-of-at-least-forty-three-characters-length').toString('base64url'),
  code_challenge_method: 'S256',
}

/** Tokens without `offline_access` end with their session, so it is read too. */
const CODE_LOOK_UP = ['Client.find', 'AuthorizationCode.find', 'Session.findByUid', 'Grant.find']
const REFRESH_LOOK_UP = ['Client.find', 'RefreshToken.find', 'Session.findByUid', 'Grant.find']
/** Without a hint the token may be of each kind. */
const ANY_TOKEN_LOOK_UP = [
  'Client.find',
  'AccessToken.find',
  'ClientCredentials.find',
  'RefreshToken.find',
  'Session.findByUid',
]
const TOKEN_REVOCATION = [
  'AccessToken.revokeByGrantId',
  'RefreshToken.revokeByGrantId',
  'AuthorizationCode.revokeByGrantId',
]

/**
 * The adapter and the token endpoint depend on the order of these calls: the first look-up reads the grant, the session
 * and the account too; `consume` comes after every check; and what is stored after it belongs to one commit. A new
 * version of the engine that changes the order fails here.
 */
describe('the engine calls its adapter', () => {
  const rows = new Map<string, AdapterPayload>()
  let calls: string[] = []
  let engine: Provider
  let server: Server
  let url: string

  function recordingAdapter(model: string): Adapter {
    const record = (method: string) => calls.push(`${model}.${method}`)
    const findRow = (matches: (row: AdapterPayload) => boolean) =>
      [...rows].find(([key, row]) => key.startsWith(`${model} `) && matches(row))?.[1]
    return {
      async upsert(id, payload) {
        record('upsert')
        rows.set(`${model} ${id}`, structuredClone(payload))
      },
      async find(id) {
        record('find')
        // As session.ts does: the session proves the person's access epoch.
        if (model === 'Session') currentRequest().provenEpochs.set(SUB, 0)
        return structuredClone(rows.get(`${model} ${id}`))
      },
      async findByUid(uid) {
        record('findByUid')
        return structuredClone(findRow((row) => row.uid === uid))
      },
      async findByUserCode(userCode) {
        record('findByUserCode')
        return structuredClone(findRow((row) => row.userCode === userCode))
      },
      async consume(id) {
        record('consume')
        const row = rows.get(`${model} ${id}`)
        if (row) row.consumed = true
      },
      async destroy(id) {
        record('destroy')
        rows.delete(`${model} ${id}`)
      },
      async revokeByGrantId() {
        record('revokeByGrantId')
      },
    }
  }

  beforeAll(async () => {
    const { privateKey } = await generateKeyPair('RS256', { extractable: true })
    const key = { ...(await exportJWK(privateKey)), kid: 'one', alg: 'RS256', use: 'sig' }
    const account = { sub: SUB, accessEpoch: 0, status: 'active', profile: {}, updatedAt: new Date() }
    const { lifetimes, ...config } = parseConfig({})
    const vault = createVault([randomMasterKey()])
    const now = () => new Date()
    const unused = () => {
      throw new Error('not a part of these requests')
    }
    engine = createEngine({
      issuer: ISSUER,
      keys: { signing: { keys: [key] }, fetchOfClients: unused },
      vault,
      adapter: recordingAdapter,
      policy: {
        lifetimes,
        sessionLimits: { ...lifetimes, maxSessions: 0, whenFull: config.whenFull },
      },
      stores: {
        accounts: { find: async () => account } as never,
        resources: { find: async () => undefined } as never,
        consents: { find: async () => undefined } as never,
        sessions: {} as never,
      },
      pages: { render: unused, renderError: unused, parseUserAgent: unused, isLocal: true },
      log: createLog({ level: 'silent', format: 'json' }),
      now,
    })
    const app = new Koa({ keys: cookieKeys(vault) })
    app.use(createRequestContexts({ rememberedIdOf: () => undefined, now }))
    app.use(async (ctx, next) => {
      if (ctx.path !== '/sign-in') return await next()
      const session = new engine.Session()
      session.loginAccount({ accountId: SUB })
      await session.save(600)
      ctx.cookies.set('sallyport_session', session.jti, { signed: true })
      ctx.body = session.uid
    })
    app.use(compose(engine.middleware as Middleware[]))
    server = createServer(app.callback())
    await new Promise<void>((done) => server.listen(0, done))
    url = `http://localhost:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => server.close())

  beforeEach(() => {
    rows.clear()
    register('app', {
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: [REDIRECT_URI],
      response_types: ['code'],
    })
    register('service', { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] })
    register('tv', {
      grant_types: [DEVICE_GRANT_TYPE, 'refresh_token'],
      redirect_uris: [],
      response_types: [],
    })
  })

  function register(clientId: string, metadata: Record<string, unknown>): void {
    const payload = toEngineMetadata({
      clientId,
      metadata: { ...metadata, scope: 'openid offline_access', first_party: true },
      secretHash: sha256(SECRET),
      previousSecret: undefined,
      createdAt: new Date(),
    })
    rows.set(`Client ${clientId}`, payload as AdapterPayload)
  }

  async function callsOf(work: () => Promise<Response>, status = 200): Promise<string[]> {
    calls = []
    const response = await work()
    expect(response.status, await response.clone().text()).toBe(status)
    return calls
  }

  const post = (path: string, as: string, form: Record<string, string>) =>
    fetch(url + path, {
      method: 'POST',
      redirect: 'manual',
      headers: { authorization: `Basic ${btoa(`${as}:${encodeURIComponent(SECRET)}`)}` },
      body: new URLSearchParams(form),
    })

  const authorize = (cookie: string, more: Record<string, string> = {}) =>
    fetch(
      `${url}/authorize?${new URLSearchParams({
        client_id: 'app',
        response_type: 'code',
        redirect_uri: REDIRECT_URI,
        scope: 'openid',
        code_challenge: PKCE.code_challenge,
        code_challenge_method: PKCE.code_challenge_method,
        ...more,
      })}`,
      { redirect: 'manual', headers: { cookie } },
    )

  async function signIn(): Promise<string> {
    const response = await fetch(`${url}/sign-in`)
    return response.headers
      .getSetCookie()
      .map((cookie) => cookie.split(';')[0])
      .join('; ')
  }

  async function getCode(): Promise<Record<string, string>> {
    const response = await authorize(await signIn())
    const code = new URL(response.headers.get('location') ?? '').searchParams.get('code') ?? ''
    const { code_verifier } = PKCE
    return { grant_type: 'authorization_code', code, redirect_uri: REDIRECT_URI, code_verifier }
  }

  async function getTokens(): Promise<{ access_token: string; refresh_token: string }> {
    const response = await post('/token', 'app', await getCode())
    return (await response.json()) as { access_token: string; refresh_token: string }
  }

  const refresh = (refresh_token: string) =>
    post('/token', 'app', { grant_type: 'refresh_token', refresh_token })

  test('for client credentials (RFC 6749 §4.4)', async () => {
    const calls = await callsOf(() => post('/token', 'service', { grant_type: 'client_credentials' }))
    expect(calls).toEqual(['Client.find', 'ClientCredentials.upsert'])
  })

  test('for an authorization request without a session (RFC 6749 §4.1.1)', async () => {
    expect(await callsOf(() => authorize(''), 303)).toEqual(['Client.find', 'Interaction.upsert'])
  })

  test('for an authorization request with a session (RFC 6749 §4.1.2)', async () => {
    const cookie = await signIn()
    const first = [
      'Session.find',
      'Client.find',
      'Grant.upsert',
      'AuthorizationCode.upsert',
      'Session.upsert',
    ]
    expect(await callsOf(() => authorize(cookie), 303)).toEqual(first)
    const next = ['Session.find', 'Client.find', 'Grant.find', 'AuthorizationCode.upsert', 'Session.upsert']
    expect(await callsOf(() => authorize(cookie), 303)).toEqual(next)
  })

  test('for a pushed request and its use (RFC 9126 §4)', async () => {
    const cookie = await signIn()
    const { code_verifier: _, ...pkce } = PKCE
    const form = {
      client_id: 'app',
      response_type: 'code',
      redirect_uri: REDIRECT_URI,
      scope: 'openid',
      ...pkce,
    }
    let request_uri = ''
    const push = async () => {
      const response = await post('/par', 'app', form)
      request_uri = ((await response.clone().json()) as { request_uri: string }).request_uri
      return response
    }
    expect(await callsOf(push, 201)).toEqual(['Client.find', 'PushedAuthorizationRequest.upsert'])
    expect(await callsOf(() => authorize(cookie, { request_uri }), 303)).toEqual([
      'Session.find',
      'Client.find',
      'PushedAuthorizationRequest.find',
      'Grant.upsert',
      'PushedAuthorizationRequest.consume',
      'AuthorizationCode.upsert',
      'Session.upsert',
    ])
  })

  test('for the redemption of a code: spends it after all checks, then issues (RFC 6749 §4.1.3)', async () => {
    const form = await getCode()
    const issued = ['AuthorizationCode.consume', 'AccessToken.upsert', 'RefreshToken.upsert']
    expect(await callsOf(() => post('/token', 'app', form))).toEqual([...CODE_LOOK_UP, ...issued])
  })

  test('for the redemption of a spent code (RFC 6749 §4.1.2)', async () => {
    const form = await getCode()
    await post('/token', 'app', form)
    const revoked = [...TOKEN_REVOCATION, 'Grant.destroy']
    expect(await callsOf(() => post('/token', 'app', form), 400)).toEqual([...CODE_LOOK_UP, ...revoked])
  })

  test('for a code with a wrong verifier: spends nothing (RFC 7636 §4.6)', async () => {
    const form = { ...(await getCode()), code_verifier: PKCE.code_verifier.toUpperCase() }
    expect(await callsOf(() => post('/token', 'app', form), 400)).toEqual(CODE_LOOK_UP)
  })

  test('for a refresh: spends the token after all checks, then issues (RFC 6749 §6)', async () => {
    const { refresh_token } = await getTokens()
    const issued = ['RefreshToken.consume', 'RefreshToken.upsert', 'AccessToken.upsert']
    expect(await callsOf(() => refresh(refresh_token))).toEqual([...REFRESH_LOOK_UP, ...issued])
  })

  test('for the reuse of a refresh token: revokes the family (RFC 9700 §4.14.2)', async () => {
    const { refresh_token } = await getTokens()
    await refresh(refresh_token)
    const revoked = ['RefreshToken.destroy', ...TOKEN_REVOCATION, 'Grant.destroy']
    expect(await callsOf(() => refresh(refresh_token), 400)).toEqual([...REFRESH_LOOK_UP, ...revoked])
  })

  test('for a device: its request, a poll, and a poll after approval (RFC 8628 §3)', async () => {
    let device_code = ''
    const request = async () => {
      const response = await post('/device/authorize', 'tv', { scope: 'openid offline_access' })
      device_code = ((await response.clone().json()) as { device_code: string }).device_code
      return response
    }
    const poll = () => post('/token', 'tv', { grant_type: DEVICE_GRANT_TYPE, device_code })
    expect(await callsOf(request)).toEqual(['Client.find', 'Client.find', 'DeviceCode.upsert'])
    expect(await callsOf(poll, 400)).toEqual(['Client.find', 'DeviceCode.find'])
    await approve(device_code)
    expect(await callsOf(poll)).toEqual([
      'Client.find',
      'DeviceCode.find',
      // Unlike a code, a device code is spent before its grant is read.
      'DeviceCode.consume',
      'Grant.find',
      'AccessToken.upsert',
      'RefreshToken.upsert',
    ])
  })

  test('for userinfo (OpenID Connect Core §5.3)', async () => {
    const { access_token } = await getTokens()
    const headers = { authorization: `Bearer ${access_token}` }
    const expected = ['AccessToken.find', 'Session.findByUid', 'Client.find', 'Grant.find']
    expect(await callsOf(() => fetch(`${url}/userinfo`, { headers }))).toEqual(expected)
  })

  test.each(['access_token', 'refresh_token'] as const)(
    'for the introspection of the %s (RFC 7662 §2.1)',
    async (kind) => {
      const tokens = await getTokens()
      const expected = [...ANY_TOKEN_LOOK_UP, 'Grant.find']
      expect(await callsOf(() => post('/introspect', 'app', { token: tokens[kind] }))).toEqual(expected)
    },
  )

  test.each([
    ['access_token', ['AccessToken.destroy', ...TOKEN_REVOCATION]],
    ['refresh_token', ['RefreshToken.destroy', ...TOKEN_REVOCATION, 'Grant.destroy']],
  ] as const)('for the revocation of the %s (RFC 7009 §2.1)', async (kind, revoked) => {
    const tokens = await getTokens()
    const expected = [...ANY_TOKEN_LOOK_UP, ...revoked]
    expect(await callsOf(() => post('/revoke', 'app', { token: tokens[kind] }))).toEqual(expected)
  })

  /** Stores a decision as the page for the user code does. */
  async function approve(deviceCode: string): Promise<void> {
    const grant = new engine.Grant({ accountId: SUB, clientId: 'tv' })
    grant.addOIDCScope('openid offline_access')
    const grantId = await grant.save()
    const row = rows.get(`DeviceCode ${deviceCode}`) ?? {}
    const { scope = 'openid' } = row.params as { scope?: string }
    rows.set(`DeviceCode ${deviceCode}`, { ...row, accountId: SUB, grantId, scope, authTime: 1 })
  }
})
