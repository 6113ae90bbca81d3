-- What the house needs outside its own tables, from one list laid, checked and mended (RULES 14).

create function private.scheduled(out name text, out schedule text, out command text, out lays text)
returns setof record
language plpgsql immutable rows 6 set search_path = ''
as $$
begin
  return query
  select j.name, j.schedule, j.command,
    -- To schedule it again leaves a job that was turned off as it is.
    format('select cron.alter_job(cron.schedule(%L, %L, %L), active => true)', j.name, j.schedule, j.command)
  from (
    select o.name, o.schedule,
      format('do $do$ begin while private.%I() > 0 loop commit; end loop; end $do$', o.name) as command
    from private.jobs() as o
  ) as j;
end;
$$;
comment on function private.scheduled is 'Each job as pg_cron must know it, and the statement that schedules it.';

create function private.surroundings(out need text, out is_there boolean, out lays text)
returns setof record
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- Other jobs, triggers, policies and published tables are nobody's affair here: nothing in this list takes any away.
  if to_regclass('cron.job') is null then
    return query select 'extension pg_cron', false, 'create extension if not exists pg_cron';
    return query select 'job ' || j.name, false, j.lays from private.scheduled() as j;
  else
    return query
    select
      'job ' || j.name,
      exists (
        select from cron.job as c
        where c.jobname = j.name and c.schedule = j.schedule and c.command = j.command and c.active
      ),
      j.lays
    from private.scheduled() as j;
  end if;
  return query
  select
    format('trigger %s on auth.users', t.name),
    exists (
      select from pg_catalog.pg_trigger as p
      where p.tgrelid = 'auth.users'::regclass and p.tgname = t.name and p.tgenabled in ('O', 'A')
        and p.tgfoid = ('private.' || t.calls)::regproc
    ),
    format(
      'create or replace trigger %I after %s on auth.users for each row execute function private.%I()',
      t.name, t.event, t.calls
    )
  from (
    values
    ('on_auth_user_created', 'insert', 'welcome_user'),
    ('on_auth_user_changed', 'update', 'follow_auth_user'),
    ('on_auth_user_deleted', 'delete', 'follow_auth_user')
  ) as t (name, event, calls)
  union all
  -- To hear, never to speak: there is no policy for insert, so that what is heard comes from the house alone.
  select
    'policy people_hear_their_topics on realtime.messages',
    exists (
      select from pg_catalog.pg_policies as p
      where p.schemaname = 'realtime' and p.tablename = 'messages' and p.policyname = 'people_hear_their_topics'
    ),
    'create policy people_hear_their_topics on realtime.messages for select to authenticated using ('
    'extension = ''broadcast'' and (select private.may_hear((select realtime.topic()))))'
  union all
  select
    'published table private.' || p.name,
    exists (
      select from pg_catalog.pg_publication_tables as t
      where t.pubname = 'supabase_realtime' and t.schemaname = 'private' and t.tablename = p.name
    ),
    format('alter publication supabase_realtime add table private.%I', p.name)
  from private.published_tables() as p (name)
  union all
  select
    'default privileges on ' || k.kind,
    not exists (
      select from pg_catalog.pg_default_acl as d
      cross join lateral pg_catalog.aclexplode(d.defaclacl) as a
      where d.defaclrole = 'postgres'::regrole and d.defaclobjtype = k.letter
        and d.defaclnamespace = 'public'::regnamespace
        and a.grantee in ('anon'::regrole, 'authenticated'::regrole, 'service_role'::regrole)
    ) and (
      k.letter <> 'f' or exists (
        select from pg_catalog.pg_default_acl as d
        where d.defaclrole = 'postgres'::regrole and d.defaclobjtype = 'f' and d.defaclnamespace = 0
          and not exists (select from pg_catalog.aclexplode(d.defaclacl) as a where a.grantee = 0)
      )
    ),
    format(
      'alter default privileges in schema public revoke all on %s from anon, authenticated, service_role%s', k.kind,
      case k.letter when 'f' then '; alter default privileges revoke execute on functions from public' else '' end
    )
  from (values ('functions', 'f'::"char"), ('tables', 'r'), ('sequences', 'S')) as k (kind, letter);
end;
$$;
comment on function private.surroundings is
'What the house needs outside its own tables: pg_cron (told only where it lacks), jobs, triggers on auth.users, the
policy of the topics, published tables, closed default privileges. Each with whether it is there, and the statement
that lays it: the one list, by which a push lays it, health checks it and mend puts it back.';

create function private.lay_surroundings()
returns text[]
language plpgsql security definer set search_path = ''
as $$
declare
  v_need record;
  v_laid text[] := '{}'::text[];
begin
  -- What is executed comes from the list above and from nobody. @plpgsql_check_options: security_warnings = off
  for v_need in select s.need, s.lays from private.surroundings() as s where not s.is_there loop
    begin
      execute v_need.lays;
      v_laid := v_laid || v_need.need;
    exception when others then
      raise warning '% could not be laid: % %', v_need.need, sqlstate, sqlerrm;
    end;
  end loop;
  return v_laid;
end;
$$;
comment on function private.lay_surroundings is
'Lays what is missing of private.surroundings and returns it; what cannot be laid is a warning, and goes on missing.';

create function private.some_of(p_kind text, p_ids uuid[])
returns text[]
language plpgsql immutable set search_path = ''
as $$
begin
  return array(select p_kind || ' ' || i.id::text from unnest(p_ids[:20]) as i (id))
    || case when cardinality(p_ids) > 20 then array[format('and %s more', cardinality(p_ids) - 20)] else '{}' end;
end;
$$;
comment on function private.some_of is 'At most twenty of these ids in words, and how many more there are.';

create function private.doors(out door text, out is_for text, out is_right boolean)
returns setof record
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select
    d.oid::regprocedure::text,
    d.is_for,
    (
      select array_agg(a.grantee) from pg_catalog.aclexplode(coalesce(d.proacl, acldefault('f', d.proowner))) as a
      where a.grantee <> d.proowner
    ) is not distinct from array[to_regrole(d.is_for)::oid]
  from (
    select p.oid, p.proacl, p.proowner, case when exists (
      select from pg_catalog.pg_proc as k
      where k.pronamespace = 'private'::regnamespace and k.proname = p.proname
        and has_function_privilege('service_role', k.oid, 'execute')
    ) then 'service_role' else 'authenticated' end as is_for
    from pg_catalog.pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proowner = 'postgres'::regrole
      and pg_catalog.obj_description(p.oid, 'pg_proc') is not null
      and not exists (
        select from pg_catalog.pg_depend as e
        where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e'
      )
  ) as d;
end;
$$;
comment on function private.doors is
'Every door, the role it is for, and whether that role and no other may open it. A door is for the service where its
kernel is, else for people. A dump says what it grants and not what the next project must take back.';

create function private.grant_doors()
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_door record;
begin
  for v_door in select d.door, d.is_for from private.doors() as d where not d.is_right loop
    execute format(
      'revoke all on function %1$s from public, anon, authenticated, service_role; grant execute on function %1$s to %2$I',
      v_door.door, v_door.is_for
    );
  end loop;
end;
$$;
comment on function private.grant_doors is
'Opens each door to the role it is for, and to no other, where that is not so.';

create function private.list_missing()
returns text[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return array(select s.need from private.surroundings() as s where not s.is_there)
    || array(select 'grants on doors' where exists (select from private.doors() as d where not d.is_right))
    || private.some_of('profile', array(
      select a.id from auth.users as a
      where a.deleted_at is null and not exists (select from private.users as u where u.id = a.id)
      order by a.id
    ))
    || private.some_of('erasure', array(
      select u.id from private.users as u
      where u.erased_at is null
        and not exists (select from auth.users as a where a.id = u.id and a.deleted_at is null)
      order by u.id
    ));
end;
$$;
comment on function private.list_missing is
'Everything the house needs and lacks, in plain words: of private.surroundings, profiles of people Auth has, and
erasures of people Auth has not.';

create function private.get_health()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_missing text[] := private.list_missing();
  v_late integer := private.dawn_late_seconds(private.clock());
begin
  return jsonb_build_object(
    'status', case when v_missing <> '{}' then 'broken' when v_late > 0 then 'late' else 'ok' end,
    'dawn_late_seconds', v_late,
    'missing', v_missing
  );
end;
$$;

create function public.get_health()
returns jsonb
language sql stable security invoker set search_path = ''
begin atomic
  select private.get_health();
end;
comment on function public.get_health is
'Whether the house is well, for the edge''s /health/ready. For the service role alone.

Returns {status, dawn_late_seconds, missing}: status is broken while anything is missing, late while a Dawn is, else ok;
missing is a list of plain words (job …, trigger … on auth.users, policy … on realtime.messages, published table …,
default privileges on …, grants on doors, extension pg_cron, profile …, erasure …), which mend puts back.';
grant execute on function public.get_health, private.get_health to service_role;

create function private.mend()
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_missing text[] := private.list_missing();
  v_left text[];
begin
  perform private.lay_surroundings();
  perform private.grant_doors();
  while private.heal_profiles(1000) > 0 loop null; end loop;
  while private.erase_departed(1000) > 0 loop null; end loop;
  v_left := private.list_missing();
  return jsonb_build_object(
    'mended', array(
      select m.need from unnest(v_missing) with ordinality as m (need, place) where m.need <> all(v_left) order by m.place
    ),
    'missing', v_left
  );
end;
$$;

create function public.mend()
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.mend();
end;
comment on function public.mend is
'Puts back what the house needs and lacks, as after a restore. For the service role alone.

That is jobs, triggers on auth.users, the policy of the topics, published tables, default privileges, profiles and
erasures. Twice is once, nobody''s data is changed, and what is not the house''s own is left alone. Returns {mended:
[text], missing: [text]}: what it put back, and what it could not.';
grant execute on function public.mend, private.mend to service_role;

select private.lay_surroundings();
