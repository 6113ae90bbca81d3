-- The one clock every rule about time asks.

create function private.clock()
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_moved text := nullif(current_setting('chas.now', true), '');
begin
  if v_moved is null then
    return now();
  end if;
  -- Anybody may set chas.time_travel for their own session; only a superuser may write it on the database.
  if exists (
    select from pg_catalog.pg_db_role_setting as s
    where s.setdatabase = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
      and s.setrole = 0
      and 'chas.time_travel=on' = any(s.setconfig)
  ) then
    return v_moved::timestamptz;
  end if;
  return now();
end;
$$;
comment on function private.clock is
'The time of the transaction; every rule about time asks here.

In a database on which a superuser has set chas.time_travel = on, a non-empty setting chas.now replaces it.';
grant execute on function private.clock to authenticated, service_role;
