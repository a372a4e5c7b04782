import * as client from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientDocument } from '../src/admin/clients.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { CALLBACK, createRelyingParty, type RelyingParty } from './support/relying-party.ts'

let server: TestServer
let web: ClientDocument
let app: RelyingParty

beforeAll(async () => {
  server = await startTestServer()
  await server.admin.users.create({
    username: 'ada',
    email: 'ada@example.test',
    email_verified: true,
    name: 'Ada Lovelace',
    password: PASSWORD,
  })
  web = await server.admin.clients.create({
    type: 'web',
    client_name: 'Harbour Dashboard',
    redirect_uris: [CALLBACK],
  })
  app = await createRelyingParty(server.issuer, web)
})
afterAll(() => server?.remove())

describe('authorization code with PKCE', () => {
  test('a person signs in, agrees, and the app gets tokens about them (OIDC Core §3.1)', async () => {
    const request = await app.request({ scope: 'openid profile email' })
    const page = await new EndUser(server.issuer).signInAndAgree(request.url)
    const tokens = await request.redeem(page.leftTo)
    expect(tokens.token_type).toBe('bearer')
    expect(tokens.expires_in).toBe(900)
    const claims = tokens.claims()
    expect(claims?.iss).toBe(server.issuer)
    const userinfo = await client.fetchUserInfo(app.config, tokens.access_token, claims?.sub ?? '')
    expect(userinfo).toMatchObject({
      preferred_username: 'ada',
      email: 'ada@example.test',
      email_verified: true,
      name: 'Ada Lovelace',
    })
  })
})
