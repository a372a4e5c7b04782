import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { EndUser, type Page } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { type Answer, post, send } from './support/http.ts'
import { CALLBACK, createRelyingParty, type RelyingParty } from './support/relying-party.ts'

const TIDES = 'https://tides.api.example.test'
const BERTHS = 'https://berths.api.example.test/v2'
const FOREIGN = 'https://foreign.api.example.test'
const SCOPE = 'openid tides:read tides:write berths:read'

let server: TestServer
let web: ClientDocument
let trusted: ClientDocument
let app: RelyingParty
let sub: string

const SETTINGS = { type: 'web', redirect_uris: [CALLBACK], resources: [TIDES, BERTHS] }

beforeAll(async () => {
  server = await startTestServer()
  const { clients, resources, users } = server.admin
  sub = (await users.create({ username: 'ada', password: PASSWORD })).sub
  await resources.create({
    identifier: TIDES,
    scope: 'tides:read tides:write',
    format: 'jwt',
    signing_alg: 'ES256',
  })
  await resources.create({
    identifier: BERTHS,
    scope: 'berths:read',
    format: 'opaque',
    access_token_seconds: 60,
  })
  await resources.create({ identifier: FOREIGN, scope: 'foreign:read', format: 'jwt' })
  trusted = await clients.create({ ...SETTINGS, client_name: 'House', first_party: true })
})
// Consent is stored: every test uses a new client.
beforeEach(async () => {
  web = await server.admin.clients.create({ ...SETTINGS, client_name: 'Dashboard' })
  app = await createRelyingParty(server.issuer, web)
})
afterAll(() => server?.remove())

type Redeemable = { page: Page; verifier: string; as: ClientDocument }

/** Signs Ada in for these resources. @returns the callback for {@link redeem}. */
async function signIn(
  resources: readonly string[],
  { scope = SCOPE, as = web, ticked }: { scope?: string; as?: ClientDocument; ticked?: string[] } = {},
): Promise<Redeemable> {
  const request = await (await createRelyingParty(server.issuer, as)).request({ scope })
  for (const resource of resources) request.url.searchParams.append('resource', resource)
  const ada = new EndUser(server.issuer)
  let page = await ada.open(request.url)
  page = await ada.submit(page, { username: 'ada', password: PASSWORD })
  if (page.$('button[value=approve]').length > 0)
    page = await ada.submit(page, ticked === undefined ? {} : { scope: ticked }, 'approve')
  return { page, verifier: request.verifier, as }
}

function redeem({ page, verifier, as }: Redeemable, more: Record<string, string> = {}): Promise<Answer> {
  const code = page.leftTo?.searchParams.get('code') ?? ''
  const form = { grant_type: 'authorization_code', code, redirect_uri: CALLBACK, code_verifier: verifier }
  return post(`${server.issuer}/token`, { ...form, ...more }, { as })
}

function refresh({ body }: Answer, more: Record<string, string> = {}, as = web): Promise<Answer> {
  const form = { grant_type: 'refresh_token', refresh_token: String(body.refresh_token), ...more }
  return post(`${server.issuer}/token`, form, { as })
}

const words = (scope: unknown) => String(scope).split(' ').toSorted()

describe('a token for a resource', () => {
  test('is a JWT about the person, for that API alone (RFC 9068 §2.2)', async () => {
    const answer = await redeem(await signIn([TIDES]), { resource: TIDES })
    expect(answer.status, answer.text).toBe(200)
    expect(words(answer.body.scope)).toEqual(['tides:read', 'tides:write'])
    const { payload, protectedHeader } = await jwtVerify(
      String(answer.body.access_token),
      createRemoteJWKSet(new URL(String(app.config.serverMetadata().jwks_uri))),
      { issuer: server.issuer, audience: TIDES, typ: 'at+jwt', algorithms: ['ES256'] },
    )
    expect(protectedHeader).toHaveProperty('kid')
    expect(payload).toEqual({
      iss: server.issuer,
      aud: TIDES,
      sub,
      client_id: web.client_id,
      scope: answer.body.scope,
      iat: expect.any(Number),
      exp: (payload.iat ?? 0) + 900,
      jti: expect.any(String),
      auth_time: expect.any(Number),
      acr: 'urn:sallyport:acr:password',
      amr: ['pwd'],
    })
  })

  test('is rejected by userinfo, which accepts the token without a resource (RFC 8707 §2)', async () => {
    const forApi = await redeem(await signIn([TIDES]), { resource: TIDES })
    const forUs = await redeem(await signIn([TIDES]))
    expect(forUs.body.scope).toBe('openid')
    const ask = async ({ body }: Answer) =>
      (
        await send(`${server.issuer}/userinfo`, {
          headers: { authorization: `Bearer ${String(body.access_token)}` },
        })
      ).status
    expect(await ask(forApi)).toBe(401)
    expect(await ask(forUs)).toBe(200)
  })

  test('has the lifetime of the resource (RFC 8707 §2)', async () => {
    const { body } = await redeem(await signIn([BERTHS]), { resource: BERTHS })
    expect(body).toMatchObject({ expires_in: 60, scope: 'berths:read' })
    expect(String(body.access_token)).toMatch(/^[\w-]{43,}$/)
  })

  test('is the default when the request named it alone, without openid (RFC 8707 §2.2)', async () => {
    const { body } = await redeem(await signIn([TIDES], { scope: 'tides:read' }))
    expect(decodeJwt(String(body.access_token))).toMatchObject({ aud: TIDES, scope: 'tides:read', sub })
    expect(body).not.toHaveProperty('id_token')
  })

  test('can be chosen at each refresh among those of the request (RFC 8707 §2.2)', async () => {
    const first = await redeem(await signIn([TIDES, BERTHS]), { resource: TIDES })
    expect(decodeJwt(String(first.body.access_token)).aud).toBe(TIDES)
    const second = await refresh(first, { resource: BERTHS })
    expect(second.body).toMatchObject({ scope: 'berths:read', expires_in: 60 })
    const third = await refresh(second, { resource: TIDES, scope: 'tides:read' })
    expect(third.status, third.text).toBe(200)
    expect(decodeJwt(String(third.body.access_token))).toMatchObject({ aud: TIDES, scope: 'tides:read' })
    const refused = await refresh(third, { resource: FOREIGN })
    expect(refused).toMatchObject({ status: 400, body: { error: 'invalid_target' } })
  })

  test('that the authorization request did not name returns invalid_target (RFC 8707 §2.2)', async () => {
    const answer = await redeem(await signIn([TIDES]), { resource: BERTHS })
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_target' } })
    expect(answer.body).not.toHaveProperty('access_token')
  })

  test('has only the scopes that the person left ticked, and returns them (RFC 6749 §5.1)', async () => {
    const { body } = await redeem(await signIn([TIDES], { ticked: ['tides:read'] }), { resource: TIDES })
    expect(body.scope).toBe('tides:read')
    expect(decodeJwt(String(body.access_token)).scope).toBe('tides:read')
  })

  test('of a first-party client needs no consent (RFC 8707 §2)', async () => {
    const signedIn = await signIn([TIDES], { as: trusted })
    expect(signedIn.page.leftTo?.searchParams.has('code')).toBe(true)
    const { body } = await redeem(signedIn, { resource: TIDES })
    expect(words(body.scope)).toEqual(['tides:read', 'tides:write'])
  })
})

describe('a request for a resource', () => {
  test.for<[string, string[]]>([
    ['unknown', ['https://nowhere.example.test']],
    ['of other clients', [FOREIGN]],
    ['unknown beside a known one', [TIDES, FOREIGN]],
    ['spelt with another slash', [`${TIDES}/`]],
    ['with a fragment', [`${TIDES}#x`]],
    ['relative', ['/tides']],
  ])('that is %s returns invalid_target to the app (RFC 8707 §2)', async ([, resources]) => {
    const request = await app.request({ scope: SCOPE })
    for (const resource of resources) request.url.searchParams.append('resource', resource)
    const { leftTo } = await new EndUser(server.issuer).open(request.url)
    expect(leftTo?.href).toMatch(CALLBACK)
    expect(leftTo?.searchParams.get('error')).toBe('invalid_target')
    expect(leftTo?.searchParams.get('iss')).toBe(server.issuer)
    expect(leftTo?.searchParams.get('state')).toBe(request.url.searchParams.get('state'))
  })

  test('shows it on the consent page beside its scopes (RFC 8707 §2)', async () => {
    const request = await app.request({ scope: SCOPE, resource: TIDES })
    const ada = new EndUser(server.issuer)
    const login = await ada.open(request.url)
    const consent = await ada.submit(login, { username: 'ada', password: PASSWORD })
    const boxes = consent.$('input[name=scope]').map((_, box) => consent.$(box).val())
    expect(boxes.toArray().toSorted()).toEqual(['tides:read', 'tides:write'])
    expect(consent.$('.scopes').text()).toContain(TIDES)
  })

  test('needs consent for a new resource only, and grants no more than requested (RFC 6749 §3.3)', async () => {
    const ada = new EndUser(server.issuer)
    const first = await app.request({ scope: 'openid tides:read', resource: TIDES })
    await ada.signInAndAgree(first.url)
    const second = await app.request({ scope: 'openid berths:read', resource: BERTHS })
    const consent = await ada.open(second.url)
    const boxes = consent.$('input[name=scope]').map((_, box) => consent.$(box).val())
    expect(boxes.toArray()).toEqual(['berths:read'])
    const forged = await ada.submit(
      consent,
      { scope: ['berths:read', 'tides:write', 'foreign:read'] },
      'approve',
    )
    const { body } = await redeem({ page: forged, verifier: second.verifier, as: web }, { resource: BERTHS })
    expect(body.scope).toBe('berths:read')
    const third = await app.request({ scope: 'openid tides:read tides:write', resource: TIDES })
    const again = await ada.open(third.url)
    expect(
      again
        .$('input[name=scope]')
        .map((_, box) => again.$(box).val())
        .toArray(),
    ).toEqual(['tides:write'])
  })
})

describe('two APIs with a scope of the same name', () => {
  const [LEFT, RIGHT] = ['https://left.api.example.test', 'https://right.api.example.test']

  test('need separate consent (OIDC Core §3.1.2.4)', async () => {
    for (const identifier of [LEFT, RIGHT])
      await server.admin.resources.create({ identifier, scope: 'read', format: 'jwt' })
    const settings = { type: 'web', client_name: 'Both', redirect_uris: [CALLBACK], resources: [LEFT, RIGHT] }
    const both = await server.admin.clients.create(settings)
    const request = await (await createRelyingParty(server.issuer, both)).request({ scope: 'openid read' })
    for (const resource of [LEFT, RIGHT]) request.url.searchParams.append('resource', resource)
    const ada = new EndUser(server.issuer)
    const consent = await ada.submit(await ada.open(request.url), { username: 'ada', password: PASSWORD })
    const values = consent
      .$('input[name=scope]')
      .get()
      .map((box) => consent.$(box).attr('value') ?? '')
    const ticked = values.filter((value) => value.includes(LEFT))
    expect({ values: values.length, ticked: ticked.length }).toEqual({ values: 2, ticked: 1 })
    const page = await ada.submit(consent, { scope: ticked }, 'approve')
    const answer = await redeem({ page, verifier: request.verifier, as: both }, { resource: RIGHT })
    expect(decodeJwt(String(answer.body.access_token)).scope).toBeUndefined()
  })

  test('can be deleted one by one; the client keeps the other and stays editable', async () => {
    const settings = { type: 'service', client_name: 'Robot', resources: [LEFT, TIDES] }
    const robot = await server.admin.clients.create(settings)
    await server.admin.resources.delete({ identifier: LEFT })
    const updated = await server.admin.clients.update({ client_id: robot.client_id, client_name: 'Robot 2' })
    expect(updated).toMatchObject({ resources: [TIDES], scope: 'tides:read tides:write' })
    const form = { grant_type: 'client_credentials', resource: LEFT }
    expect((await post(`${server.issuer}/token`, form, { as: robot })).body.error).toBe('invalid_target')
  })
})
