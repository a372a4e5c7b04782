-- 0009_devices.sql: adds the origin of an approval, and counts wrong proofs for authorization codes.

-- The origin of the request that approved the grant, which the account page shows.
alter table oidc_grant
  add column address text,
  add column user_agent text;

-- Authorization codes only: the number of attempts of their client with a wrong proof (RFC 7636 §4.6).
alter table oidc_token add column misses smallint;
