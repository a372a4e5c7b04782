-- 0009_devices.sql: where people let a device or an app in, and codes that are tried with the wrong proof.

-- Where the person was who approved it, as they recognise it on their account page.
alter table oidc_grant
  add column address text,
  add column user_agent text;

-- Authorization codes only: how often the client they belong to could not prove that it asked for them (RFC 7636 §4.6).
alter table oidc_token add column misses smallint;
