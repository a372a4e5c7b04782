-- 0011_replay.sql: revokes the family of a reused token and not its neighbours, and lets no outage pass for a theft.

-- The tokens that came from one authorization code or device code, by the commit that spent it. Null: issued by the version
-- before. Found through the grant, whose index is enough for something that rare.
alter table oidc_token add column family uuid;
