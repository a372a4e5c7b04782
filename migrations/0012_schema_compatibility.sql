-- 0012_schema_compatibility.sql: records which older versions can serve this schema during a rolling upgrade.

-- One row. A version can serve the schema if it knows the migration of this number, whatever newer ones ran.
create table schema_compatibility (
  is_only_row boolean primary key default true check (is_only_row),
  served_from integer not null
);
insert into schema_compatibility (served_from) values (12);
