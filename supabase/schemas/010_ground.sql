-- The ground the rooms stand on: the private schema, closed defaults and the settings of the whole Bureau.
--
-- What every call passes through is plpgsql even where it is one statement: a SQL function that is not inlined (none
-- with a search_path of its own is) is read and planned anew for each call, a plpgsql one once for each session. For
-- the same reason a long check on a busy table is one call of an immutable function.

create extension if not exists pgcrypto with schema extensions;

create extension if not exists pg_cron;

create schema private;

comment on schema private is
'The kernel: tables no client reads and the functions behind the doors. Never exposed by the API.';

grant usage on schema private to authenticated, service_role;

-- Nothing is open unless a line beside it opens it, whatever the project''s switch for new entities says.
alter default privileges revoke execute on functions from public;

alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;

create table private.settings (
  id boolean not null default true,
  enforce_invites boolean,
  constraint settings_pkey primary key (id),
  constraint settings_single_row check (id)
);
comment on table private.settings is
'The one row of settings of the whole Bureau; no row, or a null, means the default.';
comment on column private.settings.enforce_invites is
'Whether admission needs an invite; null means never set, which means on.';
alter table private.settings enable row level security;
create policy nobody_reads_settings on private.settings for select to authenticated using (false);

create function private.invites_enforced()
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce((select s.enforce_invites from private.settings as s), true)
  );
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
comment on function private.initialize_settings is 'Writes the starting value of a setting nobody has set yet.';
comment on function public.initialize_settings is
'Gives the setting enforce_invites its starting value, once; a value somebody has set stays.

Called by the edge when it starts. Returns {enforce_invites}: what is in force.';
grant execute on function public.initialize_settings, private.initialize_settings to service_role;
