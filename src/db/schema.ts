import type { ColumnType, Generated, JSONColumnType } from 'kysely'

/** The tables and columns for which kysely builds statements. Only `db/` and `store/` know column names. */
export type Schema = {
  account: AccountTable
  oidc_client: ClientTable
  resource: ResourceTable
  signing_key: SigningKeyTable
  oidc_grant: GrantTable
  oidc_token: TokenTable
  oidc_artifact: ArtifactTable
  consent: ConsentTable
  remembered_browser: { id: string }
  event: EventTable
  mail: MailTable
  mail_link: MailLinkTable
}

/** A JSON document of the engine; written as text. */
export type Payload = Record<string, unknown>
type Json<T extends object> = JSONColumnType<T, string, string>
type Instant = ColumnType<Date, Date | string, Date | string>
type OptionalInstant = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>

export type AccountTable = {
  sub: string
  username: string
  username_key: string
  email: string | null
  email_key: string | null
  email_verified: Generated<boolean>
  profile: ColumnType<Record<string, unknown>, string | undefined, string>
  password_hash: string | null
  status: Generated<'active' | 'disabled'>
  access_epoch: ColumnType<number, never, never>
  created_at: ColumnType<Date, never, never>
  updated_at: ColumnType<Date, never, ReturnType<typeof Date> | Date>
}

export type ClientTable = {
  client_id: string
  metadata: Json<Record<string, unknown>>
  secret_hash: Uint8Array | null
  previous_secret_hash: Uint8Array | null
  previous_secret_until: OptionalInstant
  created_at: ColumnType<Date, never, never>
  updated_at: ColumnType<Date, never, Date>
}

type ResourceTable = {
  identifier: string
  scope: string
  format: 'jwt' | 'opaque'
  signing_alg: 'RS256' | 'ES256' | 'EdDSA'
  access_token_seconds: number | null
  introspection_client_ids: Generated<string[]>
  created_at: ColumnType<Date, never, never>
}

type SigningKeyTable = {
  kid: string
  alg: 'RS256' | 'ES256' | 'EdDSA'
  state: 'next' | 'current' | 'retired'
  public_jwk: Json<Record<string, unknown>>
  sealed_private_jwk: Uint8Array
  created_at: ColumnType<Date, never, never>
}

type GrantTable = {
  id: string
  account_sub: string
  client_id: string
  payload: Json<Payload>
  expires_at: Instant
}

type TokenTable = {
  id_hash: Uint8Array
  kind: number
  grant_id: string | null
  client_id: string
  payload: Json<Payload>
  expires_at: Instant
  user_code_hash: Uint8Array | null
  sealed_id: Uint8Array | null
}

type ArtifactTable = {
  kind: number
  id_hash: Uint8Array
  sealed_payload: Uint8Array | null
  consumed_at: OptionalInstant
  answered: Generated<boolean>
  expires_at: Instant
}

type EventTable = {
  id: string
  occurred_at: Date
  type: string
  account_sub: string | null
  client_id: string | null
  grant_id: string | null
  session_uid: string | null
  request_id: string | null
  address: string | null
  user_agent: string | null
  detail: Payload | null
}

type MailTable = {
  id: string
  account_sub: string | null
  sealed_content: Uint8Array
  expires_at: Instant
}

export type MailLinkTable = {
  purpose: 'registration' | 'verification' | 'reset' | 'email_change'
  subject: Uint8Array
  secret_hash: Uint8Array
  account_sub: string | null
  access_epoch: number | null
  sealed_request: Uint8Array
  created_at: Instant
  expires_at: Instant
}

type ConsentTable = {
  account_sub: string
  client_id: string
  scopes: Json<Payload>
  updated_at: ColumnType<Date, never, Date>
}
