import { readdir } from 'node:fs/promises'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startServer } from '../src/app/server.ts'
import { parseConfig } from '../src/config/config.ts'
import { type Database, openPostgresForMigrations } from '../src/db/connections.ts'
import { createLog } from '../src/log.ts'
import { runCommandInProcess } from './support/command-line.ts'
import { startTestServer, type TestServer } from './support/harness.ts'

const NEWER = '9000_from_a_newer_version'

let server: TestServer
let newest: string

beforeAll(async () => {
  server = await startTestServer()
  await server.stop()
  const files = await readdir(new URL('../migrations/', import.meta.url))
  newest =
    files
      .filter((name) => name.endsWith('.sql'))
      .toSorted()
      .at(-1)
      ?.slice(0, 4) ?? ''
})
afterAll(() => server?.remove())

/** Changes the schema as a newer version does, and declares which older versions can serve it. */
async function change(work: (database: Database) => Promise<unknown>): Promise<void> {
  const database = openPostgresForMigrations(server.env.DATABASE_URL ?? '')
  await work(database)
  await database.destroy()
}
const setServedFrom = (number: number) => (database: Database) =>
  sql`update schema_compatibility set served_from = ${number}`.execute(database)

async function start() {
  const lines: string[] = []
  const log = createLog({ level: 'info', format: 'json' }, { write: (line: string) => void lines.push(line) })
  return { running: await startServer(parseConfig(server.env), { log }), lines }
}
const migrate = (...words: string[]) => runCommandInProcess(['migrate', ...words], server.env)

beforeEach(() =>
  change(async (database) => {
    await sql`insert into schema_migration (name, timestamp) values (${NEWER}, ${new Date().toISOString()})
      on conflict do nothing`.execute(database)
    await setServedFrom(12)(database)
  }),
)

describe('an older version on the schema of a newer one', () => {
  test('serves a schema that is declared compatible', async () => {
    const { running, lines } = await start()
    expect((await fetch(`${running.managementUrl}/health/ready`)).status).toBe(200)
    expect(
      (await running.admin.clients.create({ type: 'service', client_name: 'Bot' })).client_id,
    ).toBeDefined()
    expect(lines.join('')).toContain(`"event":"schema.newer","migrations":["${NEWER}"]`)
    await running.stop()
  })

  test('reports that no migration is pending', async () => {
    for (const words of [['--json'], ['--plan', '--json']]) {
      const { code, stdout } = await migrate(...words)
      expect({ code, printed: JSON.parse(stdout) }).toEqual({
        code: 0,
        printed: { migrations: [], newer: [NEWER] },
      })
    }
    expect((await migrate()).stdout).toBe(
      `A newer version ran ${NEWER}. This version can serve that schema; nothing to run.\n`,
    )
  })

  test('rejects a schema that is declared incompatible, and says what to do', async () => {
    await change(setServedFrom(9000))
    const sentence = `The schema was made by a newer version of Sallyport, which ran ${NEWER}. It needs a version that knows migration 9000; this one knows up to ${newest}. Start the newer version again, or restore the backup that was made before the upgrade.`
    await expect(start()).rejects.toThrow(sentence)
    for (const words of [[], ['--plan']])
      expect(await migrate(...words)).toEqual({ code: 1, stdout: '', stderr: `${sentence}\n` })
  })
})

describe('a running instance', () => {
  test('reports not ready once a newer version has made the schema incompatible', async () => {
    const { running } = await start()
    const readiness = async () => {
      const response = await fetch(`${running.managementUrl}/health/ready`)
      return { code: response.status, body: await response.json() }
    }
    expect(await readiness()).toMatchObject({ code: 200, body: { checks: { migrations: true } } })
    await change(setServedFrom(9000))
    expect(await readiness()).toMatchObject({
      code: 503,
      body: { checks: { database: true, migrations: false } },
    })
    await running.stop()
  })
})
