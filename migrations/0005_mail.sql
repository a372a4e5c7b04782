-- 0005_mail.sql: adds the outbox of mail, and the mailed links for registration, reset and verification.

-- Inserted with the change that it announces, deleted when the mail server has accepted it.
create table mail (
  -- Also the Message-ID, the same at each attempt.
  id uuid primary key,
  -- The account that the mail concerns, if there is one.
  account_sub uuid references account on delete cascade,
  -- Recipient and text, links included, sealed under the master key.
  sealed_content bytea not null,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  -- A mail with an expired link is not sent.
  expires_at timestamptz not null,
  created_at timestamptz not null default now()
);
create index mail_due on mail (next_attempt_at);
create index mail_expiry on mail (expires_at);
create index mail_account on mail (account_sub) where account_sub is not null;
create trigger mail_change after insert on mail
  for each row execute function notify_change();

-- A single-use link. For each purpose and subject there is one: a newer link replaces it.
create table mail_link (
  purpose text not null check (purpose in ('registration', 'verification', 'reset', 'email_change')),
  -- The account, or the keyed hash of an address without an account.
  subject bytea not null,
  -- SHA-256 of the secret in the link.
  secret_hash bytea not null unique,
  account_sub uuid references account on delete cascade,
  -- The request: an address, a name, a password hash.
  sealed_request bytea not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (purpose, subject)
);
create index mail_link_expiry on mail_link (expires_at);
create index mail_link_account on mail_link (account_sub) where account_sub is not null;
