-- 0004_attempts.sql: guesses and floods are counted, over all instances.

-- One row for each limit and whom it counts, for as long as its window lasts.
create table attempt (
  -- Keyed hash of both: names that people typed, wrong ones too, are nobody's to read.
  key bytea primary key,
  -- How many were allowed in this window, and how many may be.
  count integer not null,
  most integer not null,
  -- How many were refused since one was allowed.
  refused integer not null,
  -- Attempts before this are too soon.
  next_at timestamptz not null,
  expires_at timestamptz not null
) with (fillfactor = 70);
create index attempt_expiry on attempt (expires_at);
