import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ENDPOINTS } from './support/fuzz/endpoints.ts'
import { createFixtures, type Fixtures } from './support/fuzz/fixtures.ts'
import {
  type FuzzedRequest,
  fuzzedRequest,
  INJECTED_HEADER,
  UNESCAPED_MARKER,
  writeRequest,
} from './support/fuzz/requests.ts'
import { isPglite, startTestServer, type TestServer } from './support/harness.ts'
import { INSIDE } from './support/http.ts'
import { type MailServer, startMailServer } from './support/mailbox.ts'
import { expectSafeHeaders, type RawAnswer, sendRaw } from './support/raw-socket.ts'

/** Duration and seed: `FUZZ_SECONDS=600 FUZZ_SEED=1 npx vitest run conformance/fuzz.test.ts`. */
const SECONDS = Number(process.env.FUZZ_SECONDS ?? (isPglite ? 10 : 20))
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 0x7fffffff)
const MAX_MILLISECONDS = 1_000
const FRESH_EVERY = 100

/** The only other origin that an answer may redirect to. */
const APP = 'https://app.example.test'
const SQL = /syntax error at|invalid byte sequence|violates|relation "|\bSQLSTATE\b|\bselect .+ from\b/i

let server: TestServer
let mail: MailServer
let makeFresh: () => Promise<Fixtures>
let fixtures: Fixtures

beforeAll(async () => {
  mail = await startMailServer()
  server = await startTestServer({
    TRUSTED_PROXIES: '127.0.0.1,::1',
    SMTP_URL: mail.url,
    SELF_REGISTRATION: 'on',
  })
  makeFresh = await createFixtures(server, mail)
})
afterAll(async () => {
  await server?.remove()
  await mail?.close()
})

/** Checks that hold for every answer. */
function expectSound({ status, headers, body }: RawAnswer): void {
  expect(status).toBeGreaterThanOrEqual(200)
  expect(status).toBeLessThan(500)
  expectSafeHeaders({ status, headers })
  expect(headers.has(INJECTED_HEADER)).toBe(false)
  expect(body).not.toMatch(INSIDE)
  expect(body).not.toMatch(SQL)
  expect(body).not.toContain(process.cwd())
  if (/html/.test(headers.get('content-type') ?? '')) expect(body).not.toMatch(UNESCAPED_MARKER)
  const isKept = (cookie: string) => !cookie.includes('expires=Thu, 01 Jan 1970')
  for (const cookie of headers.getSetCookie().filter(isKept)) {
    expect(cookie).toMatch(/; httponly/i)
    expect(cookie).toMatch(/; samesite=lax/i)
  }
  const location = headers.get('location')
  if (location !== null) expect([server.issuer, APP]).toContain(new URL(location, server.issuer).origin)
}

async function tryRequest(request: FuzzedRequest): Promise<number> {
  const bytes = writeRequest(request, fixtures)
  const send = () => sendRaw(server.url, bytes, { withinMilliseconds: 5_000 })
  let exchange = await send()
  // Repeats a slow request: on a busy machine it may be slow once.
  for (let again = 0; exchange.milliseconds > MAX_MILLISECONDS && again < 2; again++) exchange = await send()
  expect(exchange.milliseconds, bytes.toString('latin1')).toBeLessThan(MAX_MILLISECONDS)
  expect(exchange.answers, bytes.toString('latin1')).not.toHaveLength(0)
  try {
    for (const answer of exchange.answers) expectSound(answer)
  } catch (error) {
    const failed = server
      .logged()
      .split('\n')
      .filter((line) => line.includes('request.failed'))
    throw new Error(`${bytes.toString('latin1')}\n\n${failed.at(-1) ?? ''}`, { cause: error })
  }
  return exchange.answers[0]?.status ?? 0
}

test(`mutated requests to every endpoint get a valid answer within a second, without internal details (ASVS 16.5.1), seed ${SEED}`, {
  timeout: (SECONDS + 60) * 1_000,
}, async () => {
  fixtures = await makeFresh()
  // First each valid request: otherwise all could be rejected by the first check.
  const refused: string[] = []
  for (const [endpoint, { method, path }] of ENDPOINTS.entries()) {
    const plain: FuzzedRequest = { endpoint, accept: 'text/html', address: '192.0.2.1', mutations: [] }
    if (path === '/nowhere' || (await tryRequest(plain)) < 400) continue
    // An earlier request may have spent its code or token.
    fixtures = await makeFresh()
    const status = await tryRequest(plain)
    if (status >= 400) refused.push(`${status} ${method} ${path}`)
  }
  expect(refused).toEqual([])
  let rounds = 0
  await fc.assert(
    // Some run concurrently and compete for single-use values.
    fc.asyncProperty(fc.array(fuzzedRequest, { minLength: 1, maxLength: 4 }), async (requests) => {
      if (rounds++ % FRESH_EVERY === 0) fixtures = await makeFresh()
      await Promise.all(requests.map(tryRequest))
    }),
    {
      seed: SEED,
      numRuns: Number.MAX_SAFE_INTEGER,
      interruptAfterTimeLimit: SECONDS * 1_000,
      endOnFailure: false,
    },
  )
})
