import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { expect } from 'vitest'
import type { ClientDocument } from '../../src/admin/clients.ts'
import { isPglite, type TestServer } from './harness.ts'

/** A raw HTTP answer, with the details that client libraries hide. */
export type Answer = Readonly<{
  status: number
  headers: Headers
  text: string
  /** The JSON document; empty for any other body. */
  body: Record<string, unknown>
}>

export type Form = string | URLSearchParams | readonly (readonly [string, string])[] | Record<string, string>

/** Internal details that no answer may contain: stacks, paths, SQL. */
export const INSIDE =
  /node_modules|file:\/\/|\/work\/|\.(ts|js):\d+|^\s+at |oidc_(token|client|grant|session|artifact)|\b(insert into|update|delete from)\s+"/im

type Options = {
  /** The client: authenticated by HTTP Basic, or a public client named by `client_id`. */
  as?: Pick<ClientDocument, 'client_id' | 'client_secret'> | undefined
  headers?: Record<string, string>
}

/** Posts a form. */
export async function post(url: string, form: Form, options: Options = {}): Promise<Answer> {
  return await send(url, posting(form, options))
}

/** The request that {@link post} sends. */
export function posting(form: Form, { as: caller, headers = {} }: Options = {}): RequestInit {
  const body = new URLSearchParams(form as string)
  if (caller && caller.client_secret === undefined && !body.has('client_id'))
    body.set('client_id', caller.client_id)
  return {
    method: 'POST',
    body: body.toString(),
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(caller?.client_secret === undefined ? {} : { authorization: basic(caller) }),
      ...headers,
    },
  }
}

/** Sends a request without following redirects. Expects no 5xx status and no internal details. */
export async function send(url: string, init: RequestInit = {}): Promise<Answer> {
  const answer = await exchange(url, init)
  expectDiscreet(answer)
  return answer
}

/** Sends a request without following redirects, and accepts any answer. */
export async function exchange(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, { redirect: 'manual', ...init })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, body: parse(text) }
}

/** Expects no 5xx status, and no stack, SQL or path in the answer (ASVS 16.5.1). */
export function expectDiscreet({ status, text }: Pick<Answer, 'status' | 'text'>): void {
  expect(status, text).toBeLessThan(500)
  expect(text).not.toMatch(INSIDE)
}

export function basic({
  client_id,
  client_secret = '',
}: Pick<ClientDocument, 'client_id' | 'client_secret'>): string {
  const encode = (part: string) => new URLSearchParams([['', part]]).toString().slice(1)
  return `Basic ${Buffer.from(`${encode(client_id)}:${encode(client_secret)}`).toString('base64')}`
}

export function statuses(answers: readonly Answer[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

/** Runs SQL in the database of a test server, for example to move times (Postgres only). */
export async function sql(server: TestServer, statement: string, values: unknown[] = []): Promise<number> {
  return (await query(server, statement, values)).rowCount ?? 0
}

/** Queries the database of a test server (Postgres only). */
export async function rows<Row extends pg.QueryResultRow>(
  server: TestServer,
  statement: string,
  values: unknown[] = [],
): Promise<Row[]> {
  return (await query<Row>(server, statement, values)).rows
}

/** A new connection costs more CPU than most statements of tests: idle ones are kept for 10 s. */
const pools = new Map<string, pg.Pool>()

async function query<Row extends pg.QueryResultRow>(
  server: TestServer,
  statement: string,
  values: unknown[],
): Promise<pg.QueryResult<Row>> {
  const url = server.env.DATABASE_URL ?? ''
  let pool = pools.get(url)
  if (!pool) {
    pool = new pg.Pool({ connectionString: url, allowExitOnIdle: true })
    // A connection ends when its database is removed, or by a fault.
    pool.on('error', () => {})
    pools.set(url, pool)
  }
  return await pool.query<Row>(statement, values)
}

/** Lets the poll interval of every device pass: by SQL, or on the embedded database by waiting. */
export async function letPollIntervalPass(server: TestServer): Promise<void> {
  if (isPglite) await pause(5_200)
  else await sql(server, `update oidc_token set polled_at = polled_at - interval '1 hour'`)
}

function parse(text: string): Record<string, unknown> {
  try {
    const document: unknown = JSON.parse(text)
    return typeof document === 'object' && document !== null ? (document as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
