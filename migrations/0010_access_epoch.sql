-- 0010_access_epoch.sql: orders sign-ins and revocations of a person by a counter, since the clocks of two instances differ.

-- Raised by every revocation of the whole account: a new password, a reset, sign-out everywhere, disabling. A proof of
-- identity under an older epoch is void. (signed_out_at stays for the previous version.)
alter table account add column access_epoch integer not null default 0;

-- The epoch under which each row was made. A row whose epoch differs from its account's is void for every reader.
alter table oidc_session add column access_epoch integer not null default 0;
alter table oidc_grant add column access_epoch integer not null default 0;
alter table remembered_browser add column access_epoch integer not null default 0;
-- Null: the link is for an address without an account.
alter table mail_link add column access_epoch integer;

-- Interactions only: each accepts one answer.
alter table oidc_artifact add column answered boolean not null default false;
