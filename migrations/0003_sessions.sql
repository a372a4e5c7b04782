-- 0003_sessions.sql: adds session details, remembered browsers, and the outbox of back-channel logout.

-- The time of the last sign-out everywhere: an older proof of identity starts no session.
alter table account add column signed_out_at timestamptz;

-- The origin of a session's use, which the account page shows.
alter table oidc_session
  add column remembered_id uuid,
  add column address text,
  add column user_agent text,
  add column seen_at timestamptz not null default now(),
  -- The time at which use after its end was last recorded, which bounds the number of audit events.
  add column misused_at timestamptz;
create index oidc_session_remembered on oidc_session (remembered_id) where remembered_id is not null;

-- Browsers that sign a person in again after the session ended. The cookie holds the id, which selects the row, and a secret.
create table remembered_browser (
  id uuid primary key,
  account_sub uuid not null references account on delete cascade,
  secret_hash bytea not null,
  -- The previous secret and its successor (sealed): for some seconds, concurrent tabs get the same successor.
  previous_secret_hash bytea,
  sealed_secret bytea,
  rotated_at timestamptz not null default now(),
  -- The time of the last proof of identity (auth_time).
  authenticated_at timestamptz not null,
  address text,
  user_agent text,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index remembered_browser_account on remembered_browser (account_sub);
create index remembered_browser_expiry on remembered_browser (expires_at);

-- The outbox of back-channel logout: inserted with the revocation, deleted when the client has confirmed.
create table backchannel_logout (
  -- The logout token's jti, the same at each attempt.
  id uuid primary key default gen_random_uuid(),
  client_id text not null references oidc_client on delete cascade,
  account_sub uuid not null,
  -- Null when no session was left: the client then signs the whole account out.
  sid text,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  created_at timestamptz not null default now()
);
create index backchannel_logout_due on backchannel_logout (client_id, next_attempt_at);
create trigger backchannel_logout_change after insert on backchannel_logout
  for each row execute function notify_change();

-- The identifiers of events that a statement records by itself: UUID version 7 (RFC 9562 §5.7).
create function time_ordered_id() returns uuid language sql volatile as $$
  select encode(
    set_bit(set_bit(
      overlay(uuid_send(gen_random_uuid()) placing
        substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
      52, 1), 53, 1),
    'hex')::uuid
$$;
alter table event alter column id set default time_ordered_id();
create index event_account on event (account_sub, id) where account_sub is not null;
-- The other filters of the audit log. Each index ends with the time, by which every list is sorted.
create index event_client on event (client_id, id) where client_id is not null;
create index event_session on event (session_uid, id) where session_uid is not null;
create index event_type on event (type, id);
