-- 0013_principal.sql: keeps client_id and sub distinct, since APIs distinguish clients and people by them (RFC 9700 §4.15).

-- Every client_id and every sub, in lower case. A person's row stays when the person is deleted: APIs may keep the sub.
create table principal (
  identifier text primary key,
  kind text not null check (kind in ('client', 'person'))
);
insert into principal select sub::text, 'person' from account;
insert into principal select lower(client_id), 'client' from oidc_client on conflict do nothing;

-- The first insert of an identifier decides its kind; a concurrent one waits for it.
create function claim_identifier() returns trigger language plpgsql as $$ begin
  insert into principal values (lower(to_jsonb(new) ->> tg_argv[0]), tg_argv[1])
    on conflict (identifier) do update set kind = excluded.kind where principal.kind = excluded.kind; if not found then
    raise unique_violation using message = 'a client and a person must not have the same identifier', constraint = 'principal_kind'; end if; return new; end $$;
create trigger account_identifier before insert on account
  for each row execute function claim_identifier('sub', 'person');
create trigger oidc_client_identifier before insert on oidc_client
  for each row execute function claim_identifier('client_id', 'client');

-- A client_id is released with its client, unless another spelling of it is in use.
create function release_identifier() returns trigger language plpgsql as $$ begin
  perform from principal where identifier = lower(old.client_id) for update; delete from principal
    where identifier = lower(old.client_id) and kind = 'client'
      and not exists (select from oidc_client where lower(client_id) = lower(old.client_id)); return null; end $$;
create trigger oidc_client_release after delete on oidc_client
  for each row execute function release_identifier();
