import type { Database } from '../../db/connections.ts'
import { prepareList, prepareStatement } from '../../db/prepared-statement.ts'
import type { Payload } from '../../db/schema.ts'
import { IS_DEVICE_CLIENT } from '../client/client.ts'

/** A client with access to an account: an app, or one device. */
export type Connection = Readonly<{
  clientId: string
  /** The metadata of the client's registration. */
  metadata: Readonly<Record<string, unknown>>
  /** The grant of a device; undefined for an app, whose grants are taken together. */
  grantId: string | undefined
  /** The granted scopes, as payloads of the engine's Grant: of the consent and of each grant. */
  grants: readonly Payload[]
  since: Date
  usedAt: Date | undefined
  /** The origin of the request that approved a device. */
  address: string | undefined
  userAgent: string | undefined
}>

export type Connections = Readonly<{
  /** Latest first. */
  connections: readonly Connection[]
  deviceCount: number
}>

export function createConnectionStore(database: Database) {
  return {
    /** Lists the apps of a person that have usable tokens or a consent, and their latest devices. */
    async listOf(accountSub: string, mostDevices: number): Promise<Connections> {
      const rows = await listConnections(database, [accountSub, mostDevices])
      const deviceCount = rows.find((row) => row.deviceCount !== undefined)?.deviceCount ?? 0
      const connections = rows.map(({ deviceCount, ...connection }) => connection)
      return { connections, deviceCount }
    },

    /** Finds the client of a person's device, listed or not. */
    async findDeviceClient(accountSub: string, grantId: string): Promise<string | undefined> {
      const [row] = await findDevice(database, [accountSub, grantId])
      return row?.client_id
    },
  }
}

const listConnections = prepareList<Connection & { deviceCount: number | undefined }>(
  'connection_list',
  `with alive as (
      select oidc_grant.id, oidc_grant.client_id, oidc_grant.payload, oidc_grant.address, oidc_grant.user_agent,
        to_timestamp((oidc_grant.payload ->> 'iat')::float8) as since, to_timestamp(token.used_at) as used_at,
        client.metadata, ${IS_DEVICE_CLIENT} as is_device
      from oidc_grant
        join oidc_client as client on client.client_id = oidc_grant.client_id
        cross join lateral (
          select max((oidc_token.payload ->> 'iat')::float8) as used_at,
            bool_or(consumed_at is null and expires_at > now()) as is_alive
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
            and not ${IS_DEVICE_CLIENT}
        )
    ), device as (
      select client_id, metadata, id as grant_id, jsonb_build_array(payload) as grants, since, used_at, address, user_agent,
        count(*) over ()::int as device_count
      from alive where is_device order by since desc, id limit $2::int
    )
    select client_id, metadata, grant_id, grants, since, used_at, address, user_agent, device_count from device
    union all
    select app.client_id, client.metadata, null, jsonb_agg(app.payload), min(app.since), max(app.used_at), null, null, null
    from app join oidc_client as client on client.client_id = app.client_id
    group by app.client_id, client.metadata
    order by since desc`,
)

const findDevice = prepareStatement<{ client_id: string }>(
  'connection_find_device',
  `select oidc_grant.client_id from oidc_grant join oidc_client as client on client.client_id = oidc_grant.client_id
    where oidc_grant.account_sub = $1::uuid and oidc_grant.id = $2 and ${IS_DEVICE_CLIENT}`,
)
