import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Database, openEmbeddedPostgres } from '../../db/connections.ts'
import { migrate } from '../../db/migrate.ts'
import { prepareStatement } from '../../db/prepared-statement.ts'
import { TOKEN_KINDS } from '../../db/token-kind.ts'
import {
  authorizationsOfClient,
  authorizationsOfEndedSessions,
  CAUSE_COLUMNS,
  deleteGrants,
  endSessions,
  GRANTS_OF_FAMILIES,
  keptGrants,
  LOGOUTS_OF_AUTHORIZATIONS,
  LOGOUTS_WITHOUT_SESSION,
  lockFamilies,
  queueLogouts,
  recordEndedSessions,
  revokedRows,
} from './fragments.ts'

const SUB = randomUUID()
const DEVICE = { grant_types: ['urn:ietf:params:oauth:grant-type:device_code'] }
const WITH_LOGOUT_URI = { backchannel_logout_uri: 'https://app.example.test/logout' }

let database: Database
beforeAll(async () => {
  database = openEmbeddedPostgres(undefined)
  await migrate(database)
}, 60_000)
afterAll(() => database?.destroy())
beforeEach(async () => {
  for (const table of ['oidc_session', 'oidc_token', 'backchannel_logout', 'event', 'oidc_client', 'account'])
    await sql.raw(`delete from ${table}`).execute(database)
  await sql`insert into account (sub, username, username_key) values (${SUB}, 'ada', 'ada')`.execute(database)
})

/** Executes CTEs with the rows to revoke. @returns the rows of the query `result`. */
async function run(ctes: readonly string[], result: string, revoked: readonly object[]): Promise<unknown[]> {
  const statement = prepareStatement('test', `with ${ctes.join(', ')} ${result}`)
  return await statement(database, [JSON.stringify(revoked)])
}

async function addClient(client_id: string, metadata: object): Promise<void> {
  await sql`insert into oidc_client (client_id, metadata) values (${client_id}, ${JSON.stringify(metadata)})`.execute(
    database,
  )
}

/** Adds a session with a grant for each client. */
async function addSession(uid: string, clients: Record<string, object>): Promise<void> {
  const authorizations: Record<string, object> = {}
  for (const [clientId, more] of Object.entries(clients)) {
    const grantId = `${uid} ${clientId}`
    authorizations[clientId] = { grantId, sid: `sid of ${grantId}`, ...more }
    await sql`insert into oidc_grant (id, account_sub, client_id, payload, expires_at)
      values (${grantId}, ${SUB}, ${clientId}, '{}', now() + interval '1 day')`.execute(database)
  }
  await sql`insert into oidc_session (id_hash, uid, account_sub, payload, expires_at)
    values (${Buffer.from(uid)}, ${uid}, ${SUB}, ${JSON.stringify({ authorizations })}, now() + interval '1 day')`.execute(
    database,
  )
}

const SESSIONS = [revokedRows(`uid text, ${CAUSE_COLUMNS}`), endSessions('session.uid = revoked.uid')]
const AUTHORIZATIONS = [...SESSIONS, authorizationsOfEndedSessions()]

describe('the CTEs of a session', () => {
  test('end the sessions of the items once, and keep their rows as tombstones', async () => {
    await addSession('a', {})
    await addSession('b', {})
    const end = () =>
      run(SESSIONS, 'select uid, reason from ended_session', [{ uid: 'a', reason: 'signed_out' }])
    expect(await end()).toEqual([{ uid: 'a', reason: 'signed_out' }])
    expect(await end()).toEqual([])
    const { rows } =
      await sql`select uid, ended_at is null as is_live from oidc_session order by uid`.execute(database)
    expect(rows).toEqual([
      { uid: 'a', is_live: false },
      { uid: 'b', is_live: true },
    ])
  })

  test.for([
    ['signed_out', ['device', 'offline']],
    ['refresh_token_reused', ['app', 'device', 'offline']],
  ] as const)('keep the grants that outlive a session that ended because of %s', async ([reason, kept]) => {
    await addClient('app', {})
    await addClient('offline', { keep_offline_access: true })
    await addClient('device', DEVICE)
    const persistsLogout = { persistsLogout: true }
    await addSession('a', { app: persistsLogout, offline: persistsLogout, device: persistsLogout })
    await addSession('b', { device: {} })
    const query = `select distinct client_id from ended_authorization where is_kept order by client_id`
    expect(await run(AUTHORIZATIONS, query, [{ uid: 'a', reason }])).toEqual(
      kept.map((client_id) => ({ client_id })),
    )
    expect(await run(AUTHORIZATIONS, query, [{ uid: 'b', reason }])).toEqual([])
  })

  test('record the end of each session with its cause', async () => {
    await addSession('a', {})
    const cause = { reason: 'session_limit', ended_by: 'server', request_id: 'r', address: '::1' }
    await run([...SESSIONS, recordEndedSessions()], 'select', [{ uid: 'a', ...cause }])
    const { rows } = await sql`select type, account_sub, session_uid, request_id, detail from event`.execute(
      database,
    )
    expect(rows).toEqual([
      {
        type: 'session.ended',
        account_sub: SUB,
        session_uid: 'a',
        request_id: 'r',
        detail: { reason: 'session_limit', by: 'server' },
      },
    ])
  })
})

describe('the CTEs of one client', () => {
  const CLIENT = [
    revokedRows('uid text, client_id text'),
    authorizationsOfClient('session.uid = revoked.uid'),
  ]

  test('find its authorizations, and leave the sessions live', async () => {
    await addClient('app', {})
    await addClient('other', {})
    await addSession('a', { app: {}, other: {} })
    await addSession('b', { other: {} })
    const items = ['a', 'b'].map((uid) => ({ uid, client_id: 'app' }))
    expect(await run(CLIENT, 'select client_id, grant_id, sid from ended_authorization', items)).toEqual([
      { client_id: 'app', grant_id: 'a app', sid: 'sid of a app' },
    ])
  })

  test('exclude the grants of devices from those that an excepted session keeps', async () => {
    await addClient('app', {})
    await addClient('device', DEVICE)
    await addSession('a', { app: {}, device: {} })
    const kept = [revokedRows('except_uid text'), keptGrants()]
    expect(await run(kept, 'select * from kept_grant', [{ except_uid: 'a' }])).toEqual([
      { grant_id: 'a app' },
    ])
  })
})

describe('the CTEs of back-channel logout', () => {
  const queued = async () =>
    (await sql`select client_id, sid from backchannel_logout order by client_id, sid`.execute(database)).rows

  test('queue one for each client with an address, except for a device that stays', async () => {
    await addClient('notified', WITH_LOGOUT_URI)
    await addClient('disabled', { ...WITH_LOGOUT_URI, disabled: true })
    await addClient('silent', {})
    await addClient('device', { ...DEVICE, ...WITH_LOGOUT_URI })
    await addSession('a', { notified: {}, disabled: {}, silent: {}, device: { persistsLogout: true } })
    const ctes = [...AUTHORIZATIONS, queueLogouts(LOGOUTS_OF_AUTHORIZATIONS, LOGOUTS_OF_AUTHORIZATIONS)]
    await run(ctes, 'select', [{ uid: 'a', reason: 'signed_out' }])
    expect(await queued()).toEqual([{ client_id: 'notified', sid: 'sid of a notified' }])
  })

  test('queue one without a sid for a grant that no live session refers to', async () => {
    await addClient('notified', WITH_LOGOUT_URI)
    await addClient('gone', WITH_LOGOUT_URI)
    await addSession('a', { notified: {} })
    await addSession('b', { gone: {} })
    const ctes = [
      ...AUTHORIZATIONS,
      deleteGrants('select id from oidc_grant'),
      queueLogouts(LOGOUTS_OF_AUTHORIZATIONS, LOGOUTS_WITHOUT_SESSION),
    ]
    await run(ctes, 'select', [{ uid: 'a', reason: 'signed_out' }])
    expect(await queued()).toEqual([
      { client_id: 'gone', sid: null },
      { client_id: 'notified', sid: 'sid of a notified' },
    ])
  })
})

describe('the CTEs of a token family', () => {
  const FAMILY = randomUUID()
  const FAMILIES = [revokedRows('grant_id text, family uuid'), lockFamilies()]

  /** Adds a usable token under the grant of the session `a`. */
  async function addToken(
    name: string,
    { kind, family, by }: { kind: number; family?: string; by?: string },
  ) {
    await sql`insert into oidc_token (id_hash, kind, grant_id, client_id, payload, expires_at, family, consumed_by)
      values (${Buffer.from(name)}, ${kind}, 'a app', 'app', '{}', now() + interval '1 day', ${family ?? null}, ${by ?? null})`.execute(
      database,
    )
  }

  beforeEach(async () => {
    await addClient('app', {})
    await addSession('a', { app: {} })
    await addToken('code', { kind: TOKEN_KINDS.AuthorizationCode, by: FAMILY })
    await addToken('own', { kind: TOKEN_KINDS.RefreshToken, family: FAMILY })
    await addToken('old', { kind: TOKEN_KINDS.AccessToken })
  })

  const names = `select convert_from(id_hash, 'UTF8') as name from family_token order by name`
  const item = { grant_id: 'a app', family: FAMILY }

  test('lock its tokens, its code, and the tokens of the previous version', async () => {
    await addToken('other', { kind: TOKEN_KINDS.RefreshToken, family: randomUUID() })
    expect(await run(FAMILIES, names, [item])).toEqual([{ name: 'code' }, { name: 'old' }, { name: 'own' }])
    expect(await run(FAMILIES, names, [{ grant_id: 'a app' }])).toHaveLength(4)
  })

  test('end the grant only when no usable token is left outside the family', async () => {
    expect(await run(FAMILIES, GRANTS_OF_FAMILIES, [item])).toEqual([{ grant_id: 'a app' }])
    await addToken('other', { kind: TOKEN_KINDS.RefreshToken, family: randomUUID() })
    expect(await run(FAMILIES, GRANTS_OF_FAMILIES, [item])).toEqual([])
  })
})
