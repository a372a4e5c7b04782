-- 0002_exactly_once.sql: makes a token request one commit, records audit events, and notifies instances of changes.

-- The commit that spent a token. A commit whose outcome was lost with its connection is sent again, and is not a second spend.
alter table oidc_token add column consumed_by uuid;

-- The sealed answer to a refresh, repeated to the same client for some seconds, because it may have been lost.
create table oidc_refresh_answer (
  -- The refresh token that was spent.
  id_hash bytea primary key,
  sealed_answer bytea not null,
  expires_at timestamptz not null
);
create index oidc_refresh_answer_expiry on oidc_refresh_answer (expires_at);

-- A person's consent for a client, for every browser. Grants belong to one session or device; a consent outlives them.
create table consent (
  account_sub uuid not null references account on delete cascade,
  client_id text not null references oidc_client on delete cascade,
  -- Scopes granted and refused, of OpenID Connect and of each resource.
  scopes jsonb not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (account_sub, client_id)
);
create index consent_client on consent (client_id);

-- The audit log, append-only. The identifier is time-ordered (UUID version 7), so the key is the index of time, too.
create table event (
  id uuid primary key,
  occurred_at timestamptz not null default now(),
  type text not null,
  account_sub uuid,
  client_id text,
  grant_id text,
  session_uid text,
  request_id text,
  address text,
  user_agent text,
  detail jsonb
) with (fillfactor = 100);

-- Every instance caches these three tables; a notification announces each change.
create function notify_change() returns trigger language plpgsql as $$ begin perform pg_notify('sallyport_change', tg_table_name); return null; end $$;
create trigger oidc_client_change after insert or update or delete on oidc_client
  for each statement execute function notify_change();
create trigger resource_change after insert or update or delete on resource
  for each statement execute function notify_change();
create trigger signing_key_change after insert or update or delete on signing_key
  for each statement execute function notify_change();
