import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isPglite, PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { rows, sql } from './support/http.ts'

let server: TestServer
let count = 0

beforeAll(async () => {
  server = await startTestServer()
})
afterAll(() => server?.remove())

async function newPerson(): Promise<{ username: string; sub: string }> {
  const username = `ada${count++}`
  const { sub } = await server.admin.users.create({ username, password: PASSWORD })
  return { username, sub }
}
const createClient = (client_id: string) =>
  server.admin.clients.create({ type: 'service', client_name: 'Tide Reader', client_id })

describe('a client (RFC 9700 §4.15)', () => {
  test('cannot have the sub of a person as its client_id, in any letter case', async () => {
    const { sub } = await newPerson()
    for (const client_id of [sub, sub.toUpperCase()])
      await expect(createClient(client_id)).rejects.toThrow(/identifier \(sub\) of a person/)
    expect((await server.admin.clients.list()).map(({ client_id }) => client_id)).not.toContain(sub)
  })

  test('cannot have the sub of a deleted person', async () => {
    const { username, sub } = await newPerson()
    await server.admin.users.delete({ username })
    await expect(createClient(sub)).rejects.toThrow(/identifier \(sub\) of a person/)
  })

  test('can have any other UUID, and its client_id again after its deletion', async () => {
    const client_id = randomUUID()
    for (let time = 0; time < 2; time++) {
      await createClient(client_id)
      await expect(createClient(client_id)).rejects.toThrow(/is taken/)
      await server.admin.clients.delete({ client_id })
    }
  })

  test('is distinct from a client whose client_id differs in letter case', async () => {
    await createClient('Tides')
    await createClient('tides')
    await server.admin.clients.delete({ client_id: 'Tides' })
    await expect(createClient('tides')).rejects.toThrow(/is taken/)
    await createClient('Tides')
  })
})

describe.skipIf(isPglite)('a person (RFC 9700 §4.15)', () => {
  const insertPerson = (sub: string) =>
    sql(server, 'insert into account (sub, username, username_key) values ($1, $2, $2)', [
      sub,
      `eve${count++}`,
    ])

  test('cannot have the client_id of an existing client as sub', async () => {
    for (const spell of [(id: string) => id, (id: string) => id.toUpperCase()]) {
      const sub = randomUUID()
      await createClient(spell(sub))
      await expect(insertPerson(sub)).rejects.toThrow(/same identifier/)
      await server.admin.clients.delete({ client_id: spell(sub) })
      expect(await insertPerson(sub)).toBe(1)
    }
  })

  test('can have their sub again', async () => {
    const sub = randomUUID()
    await insertPerson(sub)
    await sql(server, 'delete from account where sub = $1', [sub])
    expect(await insertPerson(sub)).toBe(1)
  })

  test('and a client that are created concurrently: one gets the identifier', async () => {
    for (let round = 0; round < 10; round++) {
      const id = randomUUID()
      const outcomes = await Promise.allSettled([createClient(id), insertPerson(id)])
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      const kept = await rows(
        server,
        'select sub::text as id from account where sub::text = $1 union all select client_id from oidc_client where client_id = $1',
        [id],
      )
      expect(kept).toHaveLength(1)
    }
  })
})
