-- 0014_schema_compatibility.sql: says which versions can serve this schema, for an older one that is started during a roll-out.

-- One row. A version serves the schema if it knows the migration of this number or a newer one, whatever ran after that.
create table schema_compatibility (
  is_only_row boolean primary key default true check (is_only_row),
  served_from integer not null
);
insert into schema_compatibility (served_from) values (14);
