import { createHash } from 'node:crypto'
import pg from 'pg'
import type { SignedIn } from '../load/people.ts'
import { FIRST_GRANT, grownTokenPrefix } from './names.ts'

/** A grant has a refresh token and an access token. */
export const TOKENS_PER_GRANT = 2
const GRANTS_PER_PERSON = 5
const GRANTS_PER_STATEMENT = 100_000

/** SQL for each column that differs from the template row `t`, as an expression of the row's number `n`. */
type Changes = Record<string, string>

const PERSON = `md5('grown-person-' || (n / ${GRANTS_PER_PERSON}))::uuid`
const GRANT = `'grown-grant-' || n`
/** Spread over the two weeks of an unused refresh token. */
const LATER = `date_trunc('second', now() + interval '1 day' + (n % 1000) * interval '19 minutes')`
const LONG_AGO = `date_trunc('second', now() - interval '1 day' - (n % 1000) * interval '1 minute')`

/**
 * Fills a database with copies of the rows of one sign-in, with other keys, accounts and expiry times. Millions of
 * sign-ins by HTTP would take days.
 *
 * @param offline a sign-in with offline access, because the copied grants have no session.
 */
export async function fillTokens(
  databaseUrl: string,
  { tokens, offline }: { tokens: number; offline: SignedIn },
) {
  await withClient(databaseUrl, async (client) => {
    await skipForeignKeyChecks(client)
    const template = await findTemplate(client, offline)
    const last = FIRST_GRANT + Math.ceil(tokens / TOKENS_PER_GRANT) - 1
    const copy = createCopier(client)
    for (let first = FIRST_GRANT; first <= last; first += GRANTS_PER_STATEMENT) {
      const range = { first, last: Math.min(last, first + GRANTS_PER_STATEMENT - 1) }
      const oncePerPerson = { where: `n % ${GRANTS_PER_PERSON} = 0 or n = ${FIRST_GRANT}` }
      await copy('account', `t.sub = ${template.sub}`, range, PERSON_CHANGES, oncePerPerson)
      // Sign-in changed the identifier; the other row is a tombstone.
      const session = `t.id_hash = (select id_hash from oidc_session where account_sub = ${template.sub} and ended_at is null limit 1)`
      await copy('oidc_session', session, range, SESSION_CHANGES, oncePerPerson)
      await copy('oidc_grant', `t.id = ${template.grant}`, range, {
        id: GRANT,
        account_sub: PERSON,
        payload: payloadWith(LATER),
        expires_at: `${LATER} + interval '30 days'`,
      })
      for (const kind of ['refresh', 'access'] as const)
        await copy('oidc_token', `t.id_hash = ${template[kind]}`, range, tokenChanges(kind, LATER))
    }
  })
}

/** Adds expired access tokens of live grants, the largest part of a clean-up. */
export async function addExpiredTokens(
  databaseUrl: string,
  { expired, tokens, offline }: { expired: number; tokens: number; offline: SignedIn },
): Promise<void> {
  await withClient(databaseUrl, async (client) => {
    await skipForeignKeyChecks(client)
    const template = await findTemplate(client, offline)
    const copy = createCopier(client)
    const grants = Math.ceil(tokens / TOKENS_PER_GRANT)
    for (let first = 1; first <= expired; first += GRANTS_PER_STATEMENT) {
      const range = { first, last: Math.min(expired, first + GRANTS_PER_STATEMENT - 1) }
      await copy('oidc_token', `t.id_hash = ${template.access}`, range, {
        ...tokenChanges('expired', LONG_AGO),
        grant_id: `'grown-grant-' || (${FIRST_GRANT} + n % ${grants})`,
      })
    }
  })
}

const PERSON_CHANGES: Changes = {
  sub: PERSON,
  username: `'grown-person-' || n`,
  username_key: `'grown-person-' || n`,
  email: `'grown-person-' || n || '@example.com'`,
  email_key: `'grown-person-' || n || '@example.com'`,
}

const SESSION_CHANGES: Changes = {
  id_hash: `sha256(convert_to('grown-session-' || n, 'UTF8'))`,
  uid: `'grown-session-' || n`,
  account_sub: PERSON,
  expires_at: LATER,
}

function tokenChanges(kind: 'refresh' | 'access' | 'expired', end: string): Changes {
  return {
    id_hash: `sha256(convert_to('${grownTokenPrefix(kind)}' || n, 'UTF8'))`,
    grant_id: GRANT,
    payload: payloadWith(end),
    expires_at: end,
  }
}

/** Changes the columns that the engine's payload repeats; others are not added to it. */
function payloadWith(end: string): string {
  const fields = { grantId: GRANT, accountId: PERSON, exp: `extract(epoch from ${end})::bigint` }
  return Object.entries(fields).reduce(
    (json, [name, value]) =>
      `(case when t.payload ? '${name}' then ${json} || jsonb_build_object('${name}', ${value}) else ${json} end)`,
    't.payload',
  )
}

async function findTemplate(client: pg.Client, { accessToken, refreshToken }: SignedIn) {
  const [access, refresh] = [accessToken, refreshToken].map(hashLiteral)
  const { rows } = await client.query<{ grant_id: string; sub: string }>(
    `select grant_id, account_sub as sub from oidc_token join oidc_grant on oidc_grant.id = grant_id
     where id_hash = ${refresh}`,
  )
  if (!rows[0])
    throw new Error('the refresh token of the sign-in was not found by its SHA-256: has the schema changed?')
  return {
    access,
    refresh,
    grant: pg.escapeLiteral(rows[0].grant_id),
    sub: pg.escapeLiteral(rows[0].sub),
  }
}

function hashLiteral(token: string): string {
  return `'\\x${createHash('sha256').update(token).digest('hex')}'::bytea`
}

/** Copies a row once per number of a range. Columns without a change are copied as they are. */
function createCopier(client: pg.Client) {
  return async (
    table: string,
    condition: string,
    { first, last }: { first: number; last: number },
    changes: Changes,
    { where = 'true' } = {},
  ): Promise<void> => {
    const { rows } = await client.query<{ name: string }>(
      `select attname as name from pg_attribute
       where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''`,
      [table],
    )
    const columns = rows.map(({ name }) => name)
    const values = columns.map((name) => changes[name] ?? `t.${name}`)
    await client.query(
      `insert into ${table} (${columns.join(', ')})
       select ${values.join(', ')} from ${table} t cross join generate_series(${first}, ${last}) as n
       where ${condition} and (${where})`,
    )
  }
}

/** The rows are consistent by construction, and checking every foreign key takes most of the time. */
async function skipForeignKeyChecks(client: pg.Client): Promise<void> {
  await client.query('set session_replication_role = replica').catch(() => {}) // Only superusers may.
}

export async function withClient<Result>(
  databaseUrl: string,
  work: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client(databaseUrl)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
