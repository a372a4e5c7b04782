import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { createEventStore } from '../src/audit/event-store.ts'
import { openPostgres } from '../src/db/connections.ts'
import { createTokenCommit } from '../src/store/token/token-commit.ts'
import { tokensOf } from './support/code-flow.ts'
import { EndUser } from './support/end-user.ts'
import { PASSWORD, startTestServer, type TestServer } from './support/harness.ts'
import { rows, statuses } from './support/http.ts'
import { CALLBACK, createRelyingParty } from './support/relying-party.ts'
import { createGrantsInUse, GRANT_NAMES, type GrantsInUse } from './support/token-grants.ts'
import { createTokenInvariants, type TokenInvariants } from './support/token-invariants.ts'

const ROUNDS = [1, 2, 3]
const AT_ONCE = 20

describe('two instances on one database', () => {
  test('complete sign-in, consent and redemption across both, with the same keys', async () => {
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

  test('create the same keys when they start together on an empty database', async () => {
    const server = await startTestServer()
    const others = await Promise.all([server.startAnother(), server.startAnother(), server.startAnother()])
    const sets = await Promise.all(
      [server, ...others].map(async ({ url }) => JSON.stringify(await (await fetch(`${url}/jwks`)).json())),
    )
    expect(new Set(sets).size).toBe(1)
    await server.remove()
  })

  describe('that receive the same token request many times at once', () => {
    let server: TestServer
    let tokenInvariants: TokenInvariants
    let grants: GrantsInUse
    let addresses: string[]

    beforeAll(async () => {
      server = await startTestServer()
      tokenInvariants = createTokenInvariants(server.env.DATABASE_URL ?? '')
      grants = await createGrantsInUse(server, tokenInvariants)
      addresses = [server.url, (await server.startAnother()).url]
    })
    afterAll(async () => {
      await tokenInvariants?.close()
      await server?.remove()
    })

    test.for(ROUNDS)(
      'redeem a code and a device code once, and repeat the answer of a refresh (RFC 6749 §4.1.2, RFC 9700 §4.14.2), %i',
      async () => {
        const prepared = await Promise.all(
          GRANT_NAMES.map(async (name) => ({ name, request: await grants[name].prepare() })),
        )
        const before = await tokenInvariants.mark()
        const storms = await Promise.all(
          prepared.map(async ({ name, request }) => {
            const sent = Array.from({ length: AT_ONCE }, (_, index) =>
              request.send(addresses[index % addresses.length] ?? server.url),
            )
            return { name, answers: await Promise.all(sent) }
          }),
        )
        for (const { name, answers } of storms) {
          for (const answer of answers) tokenInvariants.record(answer)
          const isRepeatable = grants[name].isRepeatable
          expect(statuses(answers), name).toEqual(
            isRepeatable ? { 200: AT_ONCE } : { 200: 1, 400: AT_ONCE - 1 },
          )
          const winners = answers.filter(({ status }) => status === 200)
          expect(new Set(winners.map((winner) => JSON.stringify(tokensOf(winner)))).size, name).toBe(1)
        }
        // Each grant has one set of tokens, in the database and in the answers, and all of them work.
        expect(await tokenInvariants.createdSince(before)).toEqual({ access: 3, refresh: 3, orphans: 0 })
        expect(await tokenInvariants.lost()).toEqual([])
        for (const { name, answers } of storms) {
          const winner = answers.find(({ status }) => status === 200)
          const refreshed = await grants[name].refresh(String(winner?.body.refresh_token), server.url)
          expect(refreshed.status, refreshed.text).toBe(200)
          tokenInvariants.record(refreshed)
        }
      },
    )

    test('do not deadlock when each spends many of the same tokens', async () => {
      const url = server.env.DATABASE_URL ?? ''
      const databases = [1, 2].map(() => openPostgres(url, { onConnectionError: () => {} }))
      const committing = databases.map((database) =>
        createTokenCommit(database, { events: createEventStore(database, () => new Date()) }),
      )
      const deadlocks = () =>
        rows(server, 'select deadlocks from pg_stat_database where datname = current_database()')
      await grants.refresh.prepare()
      const before = await deadlocks()
      for (let round = 0; round < 10; round++) {
        const families = await rows<{ spends: Uint8Array; grantId: string; clientId: string }>(
          server,
          `with family as (
             insert into oidc_grant (id, account_sub, client_id, payload, expires_at)
             select md5(random()::text || n), account_sub, client_id, '{}', expires_at
             from (select * from oidc_grant limit 1) as any_grant, generate_series(1, 300) as n returning *
           )
           insert into oidc_token (id_hash, kind, grant_id, client_id, payload, expires_at)
           select sha256(id::bytea), 3, id, client_id, '{}', expires_at from family
           returning id_hash as spends, grant_id as "grantId", client_id as "clientId"`,
        )
        const rotate = ({ spends, ...family }: (typeof families)[number]) => {
          const successor = { ...family, kind: 'RefreshToken', payload: {}, expiresAt: new Date() } as const
          const tokens = [{ ...successor, idHash: randomBytes(32) }]
          return {
            id: randomUUID(),
            spends,
            grantId: family.grantId,
            tokens,
            sessionUid: undefined,
            answer: undefined,
            events: [],
          }
        }
        // Each instance commits the tokens in its own order, and each token twice.
        const shuffled = () => families.toSorted(() => Math.random() - 0.5)
        const outcomes = await Promise.all(
          committing.flatMap((commit) =>
            [...shuffled(), ...shuffled()].map((family) => commit(rotate(family))),
          ),
        )
        expect(outcomes.filter((outcome) => outcome === 'committed')).toHaveLength(300)
      }
      // A connection reports its deadlocks at its end at the latest.
      await Promise.all(databases.map((database) => database.destroy()))
      await pause(500)
      expect(await deadlocks()).toEqual(before)
    })
  })
})
