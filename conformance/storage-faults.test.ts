import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EndUser } from './support/end-user.ts'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { CALLBACK, createRelyingParty } from './support/relying-party.ts'
import { Road } from './support/road.ts'

describe.skipIf(isPglite)('a database that goes away', () => {
  let server: TestServer
  let road: Road
  let tokenRequest: () => Promise<Response>

  beforeAll(async () => {
    server = await startTestServer({}, async (url) => {
      const database = new URL(url)
      road = new Road({ host: database.hostname, port: Number(database.port) })
      database.port = String(await road.open())
      return database.href
    })
    const service = await server.admin.clients.create({ type: 'service', client_name: 'Robot' })
    tokenRequest = () =>
      fetch(`${server.issuer}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa(`${service.client_id}:${service.client_secret}`)}` },
        body: new URLSearchParams({ grant_type: 'client_credentials' }),
      })
  })
  afterAll(async () => {
    await server?.remove()
    road?.close()
  })

  test('is 503 with Retry-After to programs and people, and the server goes on when it is back', async () => {
    await server.admin.users.create({ username: 'ada', password: PASSWORD })
    const client = await server.admin.clients.create({
      type: 'web',
      client_name: 'App',
      redirect_uris: [CALLBACK],
    })
    const app = await createRelyingParty(server.issuer, client)
    const user = new EndUser(server.issuer)
    const login = await user.open((await app.request()).url)
    expect((await tokenRequest()).status).toBe(200)

    road.block()
    const refused = await tokenRequest()
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await refused.json()).toMatchObject({ error: 'temporarily_unavailable' })
    const page = await user.submit(login, { username: 'ada', password: PASSWORD })
    expect(page.status).toBe(503)
    expect(page.$('h1').text()).toBe('We cannot answer just now')
    expect((await fetch(`${server.issuer}/jwks`)).status).toBe(200)
    expect((await fetch(`${server.issuer}/.well-known/openid-configuration`)).status).toBe(200)
    expect((await fetch(`${server.managementUrl}/health/live`)).status).toBe(200)
    expect((await fetch(`${server.managementUrl}/health/ready`)).status).toBe(503)

    road.unblock()
    expect((await tokenRequest()).status).toBe(200)
    expect((await fetch(`${server.managementUrl}/health/ready`)).status).toBe(200)
    expect(
      (await user.signInAndAgree((await app.request()).url)).leftTo?.searchParams.get('code'),
    ).toBeTruthy()
  })
})

describe.skipIf(isPglite)('two instances on one database', () => {
  test('sign in on one, agree on the other, redeem on the first, all with one set of keys', async () => {
    const server = await startTestServer()
    const other = await server.startAnother()
    await server.admin.users.create({ username: 'ada', password: PASSWORD })
    const client = await other.admin.clients.create({
      type: 'web',
      client_name: 'App',
      redirect_uris: [CALLBACK],
    })
    expect(await (await fetch(`${server.url}/jwks`)).json()).toEqual(
      await (await fetch(`${other.url}/jwks`)).json(),
    )

    const app = await createRelyingParty(server.issuer, client)
    const request = await app.request()
    const onFirst = new EndUser(server.issuer, server.url)
    const onSecond = Object.assign(new EndUser(server.issuer, other.url), { jar: onFirst.jar })
    const login = await onSecond.open(request.url)
    const consent = await onFirst.submit(login, { username: 'ada', password: PASSWORD })
    const answer = await onSecond.submit(consent, {}, 'approve')
    expect((await request.redeem(answer.leftTo)).claims()?.iss).toBe(server.issuer)
    await server.remove()
  })

  test('instances that start together on an empty database agree on one set of keys', async () => {
    const server = await startTestServer()
    const others = await Promise.all([server.startAnother(), server.startAnother(), server.startAnother()])
    const sets = await Promise.all(
      [server, ...others].map(async ({ url }) => JSON.stringify(await (await fetch(`${url}/jwks`)).json())),
    )
    expect(new Set(sets).size).toBe(1)
    await server.remove()
  })
})
