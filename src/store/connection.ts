import type { Database } from './database.ts'
import type { Payload } from './schema.ts'
import { defineStatement } from './statement.ts'

/** What a client may do for a person just now. */
export type Connection = Readonly<{
  clientId: string
  /** Of the client's registration. */
  metadata: Readonly<Record<string, unknown>>
  /** Of a device, which has a grant of its own; an app's are taken together. */
  grantId: string | undefined
  /** What the person answered, and what grants hold: in the words of the engine. */
  grants: readonly Payload[]
  since: Date
  usedAt: Date | undefined
}>

export type ConnectionStore = ReturnType<typeof createConnectionStore>

export function createConnectionStore(database: Database) {
  return {
    /** Devices and apps of a person: those with living tokens, and those that were consented to. Latest first. */
    async listOf(accountSub: string, now: Date): Promise<Connection[]> {
      const rows = await listConnections(database, [accountSub, now.getTime() / 1000])
      return rows.map((row) => ({
        clientId: row.client_id,
        metadata: row.metadata,
        grantId: row.grant_id ?? undefined,
        grants: row.grants,
        since: row.since,
        usedAt: row.used_at ?? undefined,
      }))
    },
  }
}

const listConnections = defineStatement<{
  client_id: string
  metadata: Payload
  grant_id: string | null
  grants: Payload[]
  since: Date
  used_at: Date | null
}>(
  'connection_list',
  `with alive as (
      select oidc_grant.id, oidc_grant.client_id, oidc_grant.payload,
        to_timestamp((oidc_grant.payload ->> 'iat')::float8) as since, to_timestamp(token.used_at) as used_at,
        client.metadata, client.metadata -> 'grant_types' ? 'urn:ietf:params:oauth:grant-type:device_code' as is_device
      from oidc_grant
        join oidc_client as client on client.client_id = oidc_grant.client_id
        cross join lateral (
          select max((oidc_token.payload ->> 'iat')::float8) as used_at,
            bool_or(consumed_at is null and expires_at > to_timestamp($2::float8)) as is_alive
          from oidc_token where oidc_token.grant_id = oidc_grant.id
        ) as token
      where oidc_grant.account_sub = $1::uuid and token.is_alive
    ), app as (
      select client_id, payload, since, used_at from alive where not is_device
      union all
      select client_id, jsonb_build_object(
        'openid', jsonb_build_object('scope', scopes -> 'granted' ->> 'openid'), 'resources', scopes -> 'granted' -> 'resources'
      ), created_at, null from consent where account_sub = $1::uuid
        and exists (
          select from oidc_client as client where client.client_id = consent.client_id
            and not client.metadata -> 'grant_types' ? 'urn:ietf:params:oauth:grant-type:device_code'
        )
    )
    select client_id, metadata, id as grant_id, jsonb_build_array(payload) as grants, since, used_at from alive where is_device
    union all
    select app.client_id, client.metadata, null, jsonb_agg(app.payload), min(app.since), max(app.used_at)
    from app join oidc_client as client on client.client_id = app.client_id
    group by app.client_id, client.metadata
    order by since desc`,
)
