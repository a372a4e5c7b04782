import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningCommand, startCommand } from './support/command-line.ts'
import { type DedicatedPostgres, startDedicatedPostgres } from './support/dedicated-postgres.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { sql } from './support/http.ts'

// A separate Postgres, because the test stops it, and a separate process for the command.
describe('a reader of new audit events', () => {
  let postgres: DedicatedPostgres
  let server: TestServer
  let following: RunningCommand

  beforeAll(async () => {
    postgres = await startDedicatedPostgres()
    server = await startTestServer({}, async () => postgres.url)
    following = follow('--json')
    await following.prints('key.created')
  })
  afterAll(async () => {
    following?.child.kill('SIGKILL')
    await server?.remove()
    await postgres?.remove()
  })

  function follow(...words: string[]): RunningCommand {
    const env = { PATH: process.env.PATH ?? '', ...server.env }
    return startCommand(['events', 'follow', '--since', '1h', ...words], env)
  }

  /** Inserts an event that another instance made some seconds ago and commits now. */
  async function commitLate(requestId: string, madeSecondsAgo: number): Promise<void> {
    const time = (Date.now() - madeSecondsAgo * 1000).toString(16).padStart(12, '0')
    const id = `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000000`
    const statement = `insert into event (id, type, request_id) values ($1, 'sign_in.refused', $2)`
    await sql(server, statement, [id, requestId])
  }

  test('gets events that were committed late, each once', async () => {
    await commitLate('at-once', 0)
    await following.prints('at-once')
    await commitLate('late', 20)
    await following.prints('late')
    const client = await server.admin.clients.create({ type: 'service', client_name: 'Robot' })
    await following.prints(client.client_id)
    const ids = following
      .stdout()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).id)
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('reports a database restart, and continues without a gap', async () => {
    await postgres.stop()
    await following.warns('Waiting for the database')
    await postgres.start()
    await following.warns('The database answers again.')
    await commitLate('from-the-outage', 5)
    await following.prints('from-the-outage')
    following.child.kill('SIGINT')
    expect(await following.exit).toBe(0)
  })

  test('gets only events that match its filter, also of a person deleted meanwhile', async () => {
    await server.admin.users.create({ username: 'ada', password: PASSWORD })
    const ofAda = follow('--user', 'ada')
    await ofAda.prints('account.created')
    await server.admin.users.create({ username: 'grace', password: PASSWORD })
    await server.admin.users.delete({ username: 'ada' })
    await ofAda.prints('account.deleted')
    expect(ofAda.stdout()).not.toContain('grace')
    expect(ofAda.stderr()).toBe('')
    ofAda.child.kill('SIGINT')
    expect(await ofAda.exit).toBe(0)
  })
})
