import { type Generated, Kysely, PostgresDialect, sql } from 'kysely'
import type { Adapter, AdapterPayload } from 'oidc-provider'
import pg from 'pg'
import type { Storage } from './engine-configuration.ts'

type Schema = {
  oidc_payload: {
    model: string
    id: string
    payload: unknown
    grant_id: string | null
    user_code: string | null
    uid: string | null
    expires_at: Date | null
    consumed_at: Date | null
  }
  account: { sub: string; claims: Generated<unknown> }
}

/**
 * The baseline: the adapter that the engine's documentation and its users publish, written for kysely. One table for
 * all models, every call of the engine one query, clients in the table too, nothing cached, nothing hashed. The pool
 * has the same ten connections as Sallyport's.
 */
export async function createPlainStorage(databaseUrl: string): Promise<Storage> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 })
  const database = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) })
  await createTables(database)

  return {
    adapter: (model) => createPlainAdapter(model, database),
    async findAccount(_ctx, sub) {
      const row = await database
        .selectFrom('account')
        .select('claims')
        .where('sub', '=', sub)
        .executeTakeFirst()
      return row && { accountId: sub, claims: () => ({ ...(row.claims as object), sub }) }
    },
    async seed(people, clients) {
      for (const { username: sub } of people) {
        const claims = { name: sub, preferred_username: sub, email: `${sub}@example.com` }
        await database
          .insertInto('account')
          .values({ sub, claims: JSON.stringify(claims) })
          .onConflict((conflict) => conflict.doNothing())
          .execute()
      }
      const adapter = createPlainAdapter('Client', database)
      for (const client of clients) await adapter.upsert(client.client_id, client as AdapterPayload, 0)
    },
  }
}

function createPlainAdapter(model: string, database: Kysely<Schema>): Adapter {
  const found = (row: { payload: unknown; consumed_at: Date | null } | undefined) =>
    row && ({ ...(row.payload as object), ...(row.consumed_at ? { consumed: true } : {}) } as AdapterPayload)
  const select = () =>
    database.selectFrom('oidc_payload').select(['payload', 'consumed_at']).where('model', '=', model)

  return {
    async upsert(id, payload, expiresIn) {
      const row = {
        payload: JSON.stringify(payload),
        grant_id: payload.grantId ?? null,
        user_code: payload.userCode ?? null,
        uid: payload.uid ?? null,
        expires_at: expiresIn ? new Date(Date.now() + expiresIn * 1000) : null,
      }
      await database
        .insertInto('oidc_payload')
        .values({ model, id, consumed_at: null, ...row })
        .onConflict((conflict) => conflict.columns(['model', 'id']).doUpdateSet(row))
        .execute()
    },
    find: async (id) => found(await select().where('id', '=', id).executeTakeFirst()),
    findByUid: async (uid) => found(await select().where('uid', '=', uid).executeTakeFirst()),
    findByUserCode: async (userCode) =>
      found(await select().where('user_code', '=', userCode).executeTakeFirst()),
    async consume(id) {
      await database
        .updateTable('oidc_payload')
        .set({ consumed_at: new Date() })
        .where('model', '=', model)
        .where('id', '=', id)
        .execute()
    },
    async destroy(id) {
      await database.deleteFrom('oidc_payload').where('model', '=', model).where('id', '=', id).execute()
    },
    async revokeByGrantId(grantId) {
      await database
        .deleteFrom('oidc_payload')
        .where('model', '=', model)
        .where('grant_id', '=', grantId)
        .execute()
    },
  }
}

async function createTables(database: Kysely<Schema>): Promise<void> {
  await sql
    .raw(`
      create table if not exists oidc_payload (
        model text not null,
        id text not null,
        payload jsonb not null,
        grant_id text,
        user_code text,
        uid text,
        expires_at timestamptz,
        consumed_at timestamptz,
        primary key (model, id)
      );
      create index if not exists oidc_payload_grant on oidc_payload (grant_id) where grant_id is not null;
      create index if not exists oidc_payload_user_code on oidc_payload (user_code) where user_code is not null;
      create index if not exists oidc_payload_uid on oidc_payload (uid) where uid is not null;
      create index if not exists oidc_payload_expiry on oidc_payload (expires_at);
      create table if not exists account (sub text primary key, claims jsonb not null);
    `)
    .execute(database)
}
