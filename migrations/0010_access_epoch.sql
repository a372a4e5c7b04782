-- 0010_access_epoch.sql: orders sign-ins and revocations of a person by a counter, since the clocks of two instances differ.

-- Raised by every revocation that is about the whole person: a new password, a reset, sign-out everywhere, disabling.
-- Whatever was proved under an older epoch is worth nothing. (signed_out_at stays for the version before.)
alter table account add column access_epoch integer not null default 0;

-- The epoch under which each was made. A row whose epoch is not its account's is dead, whoever finds it.
alter table oidc_session add column access_epoch integer not null default 0;
alter table oidc_grant add column access_epoch integer not null default 0;
alter table remembered_browser add column access_epoch integer not null default 0;
-- Null: the link is for an address without an account.
alter table mail_link add column access_epoch integer;

-- Interactions only: a page is answered once.
alter table oidc_artifact add column answered boolean not null default false;
