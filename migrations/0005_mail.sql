-- 0005_mail.sql: mail that has to be sent, and the links in it by which people register, reset and prove.

-- Written with what it tells of, deleted when it was taken by the mail server.
create table mail (
  -- Also the Message-ID, the same at each attempt.
  id uuid primary key,
  -- Whose business it is, when that is a person we know.
  account_sub uuid references account on delete cascade,
  -- To whom, what and in which language, links included: only the master key opens it.
  sealed_content bytea not null,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  -- A link that is over is not sent any more.
  expires_at timestamptz not null,
  created_at timestamptz not null default now()
);
create index mail_due on mail (next_attempt_at);
create index mail_expiry on mail (expires_at);
create index mail_account on mail (account_sub) where account_sub is not null;
create trigger mail_change after insert on mail
  for each row execute function notify_change();

-- A link good once, and one at a time for each purpose and whoever it is for: a newer one replaces it.
create table mail_link (
  purpose text not null check (purpose in ('registration', 'verification', 'reset', 'email_change')),
  -- The person, or the keyed hash of an address that belongs to nobody yet.
  subject bytea not null,
  -- SHA-256 of the secret in the link.
  secret_hash bytea not null unique,
  account_sub uuid references account on delete cascade,
  -- What was asked for: an address, a name, a password's hash.
  sealed_request bytea not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (purpose, subject)
);
create index mail_link_expiry on mail_link (expires_at);
create index mail_link_account on mail_link (account_sub) where account_sub is not null;
