-- 0004_attempts.sql: counts the attempts of rate limits over all instances.

-- One row for each limit and the network, name or account that it counts, for the time of its window.
create table attempt (
  -- A keyed hash of both, so that typed names, also wrong ones, are not readable.
  key bytea primary key,
  -- The number of allowed attempts in this window, and the largest number.
  count integer not null,
  most integer not null,
  -- The number of refused attempts since the last allowed one.
  refused integer not null,
  -- Attempts before this are too soon.
  next_at timestamptz not null,
  expires_at timestamptz not null
) with (fillfactor = 70);
create index attempt_expiry on attempt (expires_at);
