-- 0011_replay.sql: revokes the family of a reused token and not its neighbours, and lets no outage pass for a theft.

-- The tokens that came from one authorization code or device code, by the commit that spent it. Null: issued by the version
-- before. Found through the grant, whose index is enough for something that rare.
alter table oidc_token add column family uuid;

-- When which instance ran and had the database, as its heartbeat noted. A stretch without a beat for some seconds, because the
-- database or the instance was away, is in no row.
create table instance_uptime (
  instance uuid not null,
  began_at timestamptz not null,
  beat_at timestamptz not null,
  -- It stopped after it had answered everything.
  has_left boolean not null,
  primary key (instance, began_at)
);

alter table oidc_refresh_answer
  -- The instance that made it, which may have been away before it could send it. Null: of the version before.
  add column made_by uuid,
  -- It is repeated for this long, of the time in which that instance was up.
  add column repeat_seconds integer not null default 10;

-- Identifiers of sessions that another one took the place of.
alter table oidc_session
  -- The identifier that did: of the same session, or of one that a person began in the same browser.
  add column successor_hash bytea,
  -- Until then, requests that were under way may still read what is stored here.
  add column readable_until timestamptz;
