import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { isPglite, startTestServer, type TestServer } from './support/harness.ts'
import { rows, send, sql } from './support/http.ts'

/** Longer ago than expired rows are kept. */
const LONG_AGO = `now() - interval '2 hours'`

describe.skipIf(isPglite)('expired rows', () => {
  let server: TestServer

  beforeAll(async () => {
    server = await startTestServer()
  })
  afterAll(() => server?.remove())

  const insertTokens = (count: number, expiresAt: string) =>
    sql(
      server,
      `insert into oidc_token (id_hash, kind, client_id, payload, expires_at)
       select sha256((random() || '.' || n)::bytea), 4, 'robot', '{}', ${expiresAt} from generate_series(1, ${count}) as n`,
    )
  const countTokens = async () =>
    (await rows<{ count: number }>(server, 'select count(*)::int as count from oidc_token'))[0]?.count

  test('are deleted in batches of 500; those that expired moments ago stay, to detect replays (RFC 6749 §4.1.2)', async () => {
    await insertTokens(1_250, LONG_AGO)
    await insertTokens(10, `now() - interval '10 minutes'`)
    await insertTokens(20, `now() + interval '10 minutes'`)
    expect(await server.admin.cleanup.count()).toMatchObject({ tokens: 1_250, grants: 0, events: 0 })
    expect(await server.admin.cleanup.run()).toMatchObject({ tokens: 1_250 })
    expect(await countTokens()).toBe(30)
    expect(await server.admin.cleanup.count()).toMatchObject({ tokens: 0 })
  })

  test('that are locked are left for the next run', async () => {
    await insertTokens(3, LONG_AGO)
    const client = new pg.Client(server.env.DATABASE_URL)
    await client.connect()
    await client.query('begin')
    await client.query(
      `select 1 from oidc_token where expires_at < ${LONG_AGO} + interval '1 second' limit 1 for update`,
    )
    expect(await server.admin.cleanup.run()).toMatchObject({ tokens: 2 })
    await client.query('rollback')
    await client.end()
    expect(await server.admin.cleanup.run()).toMatchObject({ tokens: 1 })
  })

  test('are deleted by one worker over all instances; any other run reports that', async () => {
    const other = await server.startAnother()
    await insertTokens(2_000, LONG_AGO)
    const results = await Promise.allSettled([server.admin.cleanup.run(), other.admin.cleanup.run()])
    const reports = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.tokens] : []))
    expect(reports.reduce((sum, tokens) => sum + tokens, 0)).toBe(2_000)
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    expect(await server.admin.cleanup.run()).toMatchObject({ tokens: 0 })
  })

  test('of the audit log are kept for ninety days and deleted in batches of 500', async () => {
    const insertEvents = (count: number, days: number) =>
      sql(
        server,
        `insert into event (id, type)
         select (lpad(to_hex((extract(epoch from now() - interval '${days} days') * 1000)::bigint), 12, '0')
           || '70008000' || lpad(to_hex(n), 12, '0'))::uuid, 'token.issued' from generate_series(1, ${count}) as n`,
      )
    await insertEvents(1_250, 91)
    await insertEvents(20, 89)
    const countEvents = async () => {
      const [row] = await rows<{ count: number }>(server, `select count(*)::int as count from event`)
      return row?.count ?? 0
    }
    const before = await countEvents()
    expect(await server.admin.cleanup.count()).toMatchObject({ events: 1_250 })
    expect(await server.admin.cleanup.run()).toMatchObject({ events: 1_250 })
    expect(await countEvents()).toBe(before - 1_250)
    expect(await server.admin.cleanup.run()).toMatchObject({ events: 0 })
  })
})

describe('a server', () => {
  test('reports the number of expired rows on the management listener (Prometheus text format)', async () => {
    const server = await startTestServer()
    const answer = await send(`${server.managementUrl}/metrics`)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    expect(answer.text).toContain('# TYPE sallyport_cleanup_backlog_rows gauge')
    expect((await send(`${server.url}/metrics`)).status).toBe(404)
    await server.remove()
  })

  test.skipIf(isPglite)('runs the cleanup soon after the start and every minute', async () => {
    const server = await startTestServer()
    await sql(
      server,
      `insert into oidc_token (id_hash, kind, client_id, payload, expires_at) values ('\\x00', 4, 'robot', '{}', ${LONG_AGO})`,
    )
    await vi.waitFor(async () => expect(await rows(server, 'select 1 from oidc_token')).toHaveLength(0), {
      timeout: 20_000,
      interval: 1_000,
    })
    await vi.waitFor(
      async () => {
        expect(server.logged()).toContain('"event":"cleanup"')
        expect((await send(`${server.managementUrl}/metrics`)).text).toMatch(
          /sallyport_cleanup_backlog_rows\{table="tokens"\} 0/,
        )
      },
      { timeout: 5_000, interval: 200 },
    )
    await server.remove()
  })
})
