-- 0011_replay.sql: limits reuse detection to one token family, and keeps an outage from looking like a replay.

-- The family of tokens from one authorization code or device code: the commit that spent it. Null: issued by the
-- previous version. No index: reads are rare and go through the grant's index.
alter table oidc_token add column family uuid;

-- The times in which each instance ran and had the database, as recorded by its heartbeat. Times without the database
-- or the instance are in no row.
create table instance_uptime (
  instance uuid not null,
  began_at timestamptz not null,
  beat_at timestamptz not null,
  -- The instance stopped after it had answered everything.
  has_left boolean not null,
  primary key (instance, began_at)
);

alter table oidc_refresh_answer
  -- The instance that made the answer, and may have been away before it could send it. Null: of the previous version.
  add column made_by uuid,
  -- Seconds of that instance's uptime in which the answer is repeated.
  add column repeat_seconds integer not null default 10;

-- Session identifiers that were replaced.
alter table oidc_session
  -- The new identifier: of the same session, or of a session that was begun in the same browser.
  add column successor_hash bytea,
  -- Until then, requests in flight may still read this session.
  add column readable_until timestamptz;
