-- 0001_foundation.sql: creates accounts, clients, resources, signing keys and the engine's storage.
-- No secret is stored readably: identifiers that grant access are SHA-256 hashes, values that are read back are sealed
-- under the master key, passwords are argon2id hashes.

create table account (
  sub uuid primary key,
  username text not null,
  -- The spelling-independent form; uniqueness and look-up use it.
  username_key text not null unique,
  email text,
  email_key text unique,
  email_verified boolean not null default false,
  -- Standard claims of the profile scope (OpenID Connect Core §5.1), wire names.
  profile jsonb not null default '{}',
  password_hash text,
  status text not null default 'active' check (status in ('active', 'disabled')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table oidc_client (
  client_id text primary key,
  -- Standard client metadata (RFC 7591 names) and a few of our own; never a secret.
  metadata jsonb not null,
  secret_hash bytea,
  previous_secret_hash bytea,
  previous_secret_until timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table resource (
  identifier text primary key,
  scope text not null,
  format text not null check (format in ('jwt', 'opaque')),
  signing_alg text not null check (signing_alg in ('RS256', 'ES256', 'EdDSA')),
  access_token_seconds integer check (access_token_seconds > 0),
  -- The clients of this resource server, which may introspect the tokens issued for it.
  introspection_client_ids text[] not null default '{}',
  created_at timestamptz not null default now()
);

create table signing_key (
  kid text primary key,
  alg text not null check (alg in ('RS256', 'ES256', 'EdDSA')),
  state text not null check (state in ('next', 'current', 'retired')),
  public_jwk jsonb not null,
  sealed_private_jwk bytea not null,
  created_at timestamptz not null default now()
);
-- Instances that start together agree on one set of keys: the second insert of a current key for an algorithm fails.
create unique index signing_key_one_current on signing_key (alg) where state = 'current';

create table oidc_grant (
  id text primary key,
  account_sub uuid not null references account on delete cascade,
  client_id text not null references oidc_client on delete cascade,
  payload jsonb not null,
  expires_at timestamptz not null
);
create index oidc_grant_account on oidc_grant (account_sub);
create index oidc_grant_client on oidc_grant (client_id);
create index oidc_grant_expiry on oidc_grant (expires_at);

-- Access, refresh and client-credentials tokens, authorization codes, device codes.
create table oidc_token (
  id_hash bytea primary key,
  kind smallint not null,
  -- Deleting a grant deletes its tokens, and no token can be added to a deleted grant.
  grant_id text references oidc_grant on delete cascade,
  client_id text not null,
  payload jsonb not null,
  consumed_at timestamptz,
  expires_at timestamptz not null,
  -- Device codes only (RFC 8628).
  user_code_hash bytea,
  sealed_id bytea,
  polled_at timestamptz,
  poll_interval_seconds smallint
) with (fillfactor = 90);
create index oidc_token_grant on oidc_token (grant_id) where grant_id is not null;
create index oidc_token_client on oidc_token (client_id) where grant_id is null;
create unique index oidc_token_user_code on oidc_token (user_code_hash) where user_code_hash is not null;
create index oidc_token_expiry on oidc_token (expires_at);

create table oidc_session (
  id_hash bytea primary key,
  -- Not unique: two requests of one browser that resume at once store two rows for a moment.
  uid text not null,
  account_sub uuid references account on delete cascade,
  payload jsonb not null,
  -- An ended session stays as a tombstone until it expires, so that a request in flight cannot store it again.
  ended_at timestamptz,
  expires_at timestamptz not null
) with (fillfactor = 70);
create index oidc_session_uid on oidc_session (uid);
create index oidc_session_account on oidc_session (account_sub) where account_sub is not null;
create index oidc_session_expiry on oidc_session (expires_at);

-- Rows that live for minutes: interactions, pushed authorization requests, used identifiers of assertions and proofs.
create table oidc_artifact (
  kind smallint not null,
  id_hash bytea not null,
  sealed_payload bytea,
  consumed_at timestamptz,
  expires_at timestamptz not null,
  primary key (kind, id_hash)
);
create index oidc_artifact_expiry on oidc_artifact (expires_at);
