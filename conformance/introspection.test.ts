import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { later } from './support/clock.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, post, send } from './support/http.ts'
import { CALLBACK, createRelyingParty } from './support/relying-party.ts'

const RESOURCE = 'https://tides.api.example.test'
const SIGNED = 'https://signed.api.example.test'

let server: TestServer
let web: ClientDocument
let service: ClientDocument
let api: ClientDocument
let spa: ClientDocument
let sub: string

beforeAll(async () => {
  server = await startTestServer()
  const { clients, resources, users } = server.admin
  sub = (await users.create({ username: 'ada', password: PASSWORD })).sub
  api = await clients.create({ type: 'service', client_name: 'Tides API' })
  await resources.create({
    identifier: RESOURCE,
    scope: 'tides:read',
    format: 'opaque',
    introspection_client_ids: [api.client_id],
  })
  await resources.create({
    identifier: SIGNED,
    scope: 'tides:read',
    format: 'jwt',
    introspection_client_ids: [api.client_id],
  })
  service = await clients.create({ type: 'service', client_name: 'Bot', resources: [RESOURCE, SIGNED] })
  web = await registerWeb()
  spa = await clients.create({ type: 'spa', client_name: 'Chart', redirect_uris: [CALLBACK] })
})
afterAll(() => server?.remove())

function registerWeb(): Promise<ClientDocument> {
  return server.admin.clients.create({
    type: 'web',
    client_name: 'Dashboard',
    redirect_uris: [CALLBACK],
    resources: [RESOURCE],
    first_party: true,
  })
}

function introspect(token: unknown, as: ClientDocument, hint?: string): Promise<Answer> {
  const form = { token: String(token), ...(hint === undefined ? {} : { token_type_hint: hint }) }
  return post(`${server.issuer}/introspect`, form, { as })
}

async function serviceToken(form: Record<string, string> = {}): Promise<unknown> {
  const { body } = await post(
    `${server.issuer}/token`,
    { grant_type: 'client_credentials', ...form },
    { as: service },
  )
  return body.access_token
}

/** Tokens about Ada, issued to a client with a secret. */
async function personTokens(as = web, parameters: Record<string, string> = {}) {
  const app = await createRelyingParty(server.issuer, as)
  const request = await app.request(parameters)
  return await request.redeem((await new EndUser(server.issuer).signInAndAgree(request.url)).leftTo)
}

const INACTIVE = { status: 200, body: { active: false } }
const expectInactive = (answer: Answer) =>
  expect({ status: answer.status, body: answer.body }).toEqual(INACTIVE)

describe('introspection', () => {
  test('returns to a client the claims of its own access token (RFC 7662 §2.2)', async () => {
    const { access_token } = await personTokens()
    const { status, body, headers } = await introspect(access_token, web)
    expect(status).toBe(200)
    expect(headers.get('content-type')).toMatch(/^application\/json/)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body).toEqual({
      active: true,
      iss: server.issuer,
      sub,
      client_id: web.client_id,
      scope: 'openid',
      token_type: 'Bearer',
      iat: expect.any(Number),
      exp: Number(body.iat) + 900,
      auth_time: expect.any(Number),
      acr: 'urn:sallyport:acr:password',
      amr: ['pwd'],
    })
  })

  test('returns to a client the claims of its own refresh token, whatever the hint (RFC 7662 §2.1)', async () => {
    const { refresh_token } = await personTokens()
    for (const hint of [undefined, 'refresh_token', 'access_token', 'nonsense']) {
      const { body } = await introspect(refresh_token, web, hint)
      expect(body).toMatchObject({ active: true, sub, client_id: web.client_id, scope: 'openid' })
      expect(body).not.toHaveProperty('token_type')
      expect(Number(body.exp) - Number(body.iat)).toBe(14 * 86_400)
    }
  })

  test('returns to a service the claims of its own token, which has no end-user (RFC 7662 §2.2)', async () => {
    const { body } = await introspect(
      await serviceToken({ resource: RESOURCE, scope: 'tides:read' }),
      service,
    )
    expect(body).toEqual({
      active: true,
      iss: server.issuer,
      aud: RESOURCE,
      client_id: service.client_id,
      scope: 'tides:read',
      token_type: 'Bearer',
      iat: expect.any(Number),
      exp: Number(body.iat) + 600,
    })
  })

  test('returns to an API the claims of tokens with its audience alone (RFC 7662 §4)', async () => {
    const ofService = await serviceToken({ resource: RESOURCE, scope: 'tides:read' })
    expect((await introspect(ofService, api)).body).toMatchObject({ active: true, aud: RESOURCE })

    const resourceful = await personTokens(web, { scope: 'tides:read', resource: RESOURCE })
    expect((await introspect(resourceful.access_token, api)).body).toMatchObject({
      active: true,
      aud: RESOURCE,
      sub,
      client_id: web.client_id,
      scope: 'tides:read',
    })
    for (const token of [
      await serviceToken(),
      (await personTokens()).access_token,
      resourceful.refresh_token,
    ])
      expectInactive(await introspect(token, api))
  })

  test('returns inactive for tokens of other clients (RFC 7662 §4)', async () => {
    const { access_token, refresh_token } = await personTokens()
    for (const token of [access_token, refresh_token]) expectInactive(await introspect(token, service))
    expectInactive(await introspect(await serviceToken(), web))
  })

  test.for<[string, string]>([
    ['unknown', 'x'.repeat(43)],
    ['garbage', '" or 1=1; drop table oidc_token; --'],
    ['cut short', 'CUT'],
    ['long', 'y'.repeat(50_000)],
    ['a word of the language', '__proto__'],
    ['almost a JWT', 'a.b.c'],
    ['not ASCII', 'tökén 🚪'],
  ])('of a token that is %s returns 200 {"active":false} (RFC 7662 §2.2)', async ([, given]) => {
    const token = given === 'CUT' ? String(await serviceToken()).slice(0, -1) : given
    for (const hint of [undefined, 'refresh_token']) expectInactive(await introspect(token, service, hint))
  })

  test('of a token with a NUL byte is rejected or inactive, never a server error (RFC 7662 §2.2)', async () => {
    const answer = await introspect('a\0b', service)
    expect([200, 400]).toContain(answer.status)
    expect(answer.body.active ?? false).toBe(false)
  })

  test('without a token, or with two, returns 400 invalid_request (RFC 7662 §2.1)', async () => {
    const url = `${server.issuer}/introspect`
    for (const form of ['', 'token=', 'token=a&token=b']) {
      expect(await post(url, form, { as: service })).toMatchObject({
        status: 400,
        body: { error: 'invalid_request' },
      })
    }
  })

  test.for<[string, () => Parameters<typeof post>[2]]>([
    ['without authentication', () => ({})],
    ['with the client_id of a confidential client alone', () => ({ as: { client_id: service.client_id } })],
    ['with a wrong secret', () => ({ as: { ...service, client_secret: 'wrong' } })],
    ['with a bearer token', () => ({ headers: { authorization: 'Bearer x' } })],
  ])('%s returns 401 (RFC 7662 §2.1, §2.3)', async ([, options]) => {
    const token = String(await serviceToken())
    const answer = await post(`${server.issuer}/introspect`, { token }, options())
    expect(answer.status).toBe(401)
    expect(answer.body).not.toHaveProperty('active')
  })

  test('by a public client is rejected, because it cannot authenticate (RFC 7662 §2.1)', async () => {
    const { access_token } = await personTokens(spa)
    const answer = await introspect(access_token, spa)
    expect([200, 401, 403]).toContain(answer.status)
    expect(answer.body.active ?? false).toBe(false)
  })

  test('of a JWT returns unsupported_token_type: APIs verify JWTs themselves (RFC 9068 §4)', async () => {
    const token = await serviceToken({ resource: SIGNED, scope: 'tides:read' })
    for (const as of [api, service]) {
      expect(await introspect(token, as)).toMatchObject({
        status: 400,
        body: { error: 'unsupported_token_type' },
      })
    }
  })

  test('by GET is rejected: tokens do not belong in URLs (RFC 7662 §4)', async () => {
    const answer = await send(`${server.issuer}/introspect?token=${String(await serviceToken())}`)
    expect([404, 405]).toContain(answer.status)
  })
})

describe('a token becomes inactive', () => {
  test('when it is expired (RFC 7662 §2.2)', async () => {
    const [ofService, ofPerson] = [await serviceToken(), (await personTokens()).access_token]
    await later(620, async () => {
      expectInactive(await introspect(ofService, service))
      expect((await introspect(ofPerson, web)).body.active).toBe(true)
    })
    await later(920, async () => expectInactive(await introspect(ofPerson, web)))
  })

  test('when it is revoked (RFC 7662 §2.2)', async () => {
    const token = String(await serviceToken())
    await post(`${server.issuer}/revoke`, { token }, { as: service })
    expectInactive(await introspect(token, service))
  })

  test('when its session ends', async () => {
    const app = await createRelyingParty(server.issuer, web)
    const request = await app.request()
    const ada = new EndUser(server.issuer)
    const { access_token } = await request.redeem((await ada.signInAndAgree(request.url)).leftTo)
    expect((await introspect(access_token, web)).body.active).toBe(true)
    await ada.submit(await ada.open('/logout'), {}, 'approve')
    expectInactive(await introspect(access_token, web))
  })

  test('for the API, too, when its client is disabled or deleted', async () => {
    const { clients } = server.admin
    const ending = await registerWeb()
    const { access_token } = await personTokens(ending, { scope: 'tides:read', resource: RESOURCE })
    expect((await introspect(access_token, api)).body.active).toBe(true)
    await clients.update({ client_id: ending.client_id, disabled: true })
    expectInactive(await introspect(access_token, api))
    await clients.delete({ client_id: ending.client_id })
    expectInactive(await introspect(access_token, api))
  })

  test('for the API, too, when its service is disabled', async () => {
    const { clients } = server.admin
    const ending = await clients.create({ type: 'service', client_name: 'Ending', resources: [RESOURCE] })
    const form = { grant_type: 'client_credentials', resource: RESOURCE }
    const { body } = await post(`${server.issuer}/token`, form, { as: ending })
    expect((await introspect(body.access_token, api)).body.active).toBe(true)
    await clients.update({ client_id: ending.client_id, disabled: true })
    expectInactive(await introspect(body.access_token, api))
  })

  test('when its person is disabled', async () => {
    const { access_token, refresh_token } = await personTokens()
    await server.admin.users.disable({ username: 'ada' })
    for (const token of [access_token, refresh_token]) expectInactive(await introspect(token, web))
    await server.admin.users.enable({ username: 'ada' })
    expectInactive(await introspect(access_token, web))
  })
})
