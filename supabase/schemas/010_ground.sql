-- The ground the rooms stand on: the private schema, closed defaults and the settings of the whole Bureau.
--
-- What every call passes through is plpgsql even where it is one statement: a SQL function that is not inlined (none
-- with a search_path of its own is) is read and planned anew for each call, a plpgsql one once for each session. For
-- the same reason a long check on a busy table is one call of an immutable function.
--
-- Advisory locks, the only list of them. Each family has a class of its own, the first of two keys, so that no lock of
-- another program and no lock of another family is ever mistaken for one of these:
--   1128792066  a position: a line of a Chamber is being written (250_lines)
--   1128792067  a day: shared by whoever acts in it, alone for whoever turns it or changes its members (330_days)
--   1128792068  a member's lines: counted against the limits one after the other (250_lines)
--   1128792069  a person's turn: of readings that are much work, one at a time (110_standing)
--   1128792070  a move: a community is coming into this database (supabase/local/move.py)
--   1128792071  a member's leaving: asked for twice, it waits here and for nobody's day (490_leaving)

create extension if not exists pgcrypto with schema extensions;
create extension if not exists pg_cron;

create schema private;
comment on schema private is
'Everything but the doors: tables, row level security, and the functions behind the doors. Never exposed by the API.';
grant usage on schema private to authenticated, service_role;

-- Nothing is open unless a line beside it opens it, whatever the project's switch for new entities says.
alter default privileges revoke execute on functions from public;
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;

create table private.settings (
  id boolean not null default true,
  enforce_invites boolean,
  address_key bytea,
  database_number integer,
  constraint settings_pkey primary key (id),
  constraint settings_single_row check (id),
  constraint settings_database_number_range check (database_number between 0 and 1023)
);
comment on table private.settings is
'The one row of settings of the whole Bureau, made when first needed; no row, or a null, means the default.';
comment on column private.settings.enforce_invites is
'Whether admission needs an invite; null means never set, which means on.';
comment on column private.settings.address_key is
'The secret under which e-mail addresses are hashed; drawn at random when first needed, and never shown.';
comment on column private.settings.database_number is
'Which of several databases of one Bureau this is (private.number_database); null while it is the only one.';
alter table private.settings enable row level security;
create policy nobody_reads_settings on private.settings for select to authenticated using (false);

create function private.invites_enforced()
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return coalesce((select s.enforce_invites from private.settings as s), true);
end;
$$;
comment on function private.invites_enforced is
'Whether the gate of invites is up (RULES 1.2); on unless somebody turned it off.';

create function private.initialize_settings(p_enforce_invites boolean)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.settings as s (enforce_invites) values (p_enforce_invites)
  on conflict (id) do update set enforce_invites = excluded.enforce_invites where s.enforce_invites is null;
  return jsonb_build_object('enforce_invites', private.invites_enforced());
end;
$$;

create function public.initialize_settings(enforce_invites boolean)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.initialize_settings(initialize_settings.enforce_invites);
end;
comment on function public.initialize_settings is
'Gives the setting enforce_invites its starting value, once; a value somebody has set stays.

Called by the edge when it starts. Returns {enforce_invites}: what is in force.';
grant execute on function public.initialize_settings, private.initialize_settings to service_role;

create function private.hash_address(p_email text)
returns bytea
language plpgsql security definer set search_path = ''
as $$
declare
  v_key bytea := (select s.address_key from private.settings as s);
begin
  if v_key is null then
    insert into private.settings as s (address_key) values (extensions.gen_random_bytes(32))
    on conflict (id) do update set address_key = coalesce(s.address_key, excluded.address_key)
    returning s.address_key into v_key;
  end if;
  return extensions.hmac(convert_to(lower(btrim(p_email)), 'UTF8'), v_key, 'sha256');
end;
$$;
comment on function private.hash_address is
'An e-mail address as the house remembers it: a keyed hash without regard to case and blanks around it; null for null.
Whoever has the database without its key cannot try addresses against it.';

create function private.note_number(p_number integer, p_address_key bytea)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.settings as s (database_number, address_key)
  values (p_number, coalesce(p_address_key, extensions.gen_random_bytes(32)))
  on conflict (id) do update
  set database_number = excluded.database_number, address_key = coalesce(s.address_key, excluded.address_key);
end;
$$;
comment on function private.note_number is
'Writes down which of several databases this is, and the key it hashes addresses under if it has none.';
