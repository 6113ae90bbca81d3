-- Moving one community, whole, from one database of the Bureau into another (docs/scale.md). Everything here is the
-- owner's: `make move` calls it, and decides the order of the commits. Which tables and columns there are is asked of
-- the catalogue, so a new room moves along without a line here.

create table private.luggage (
  community_id uuid not null,
  table_name text not null,
  key jsonb not null,
  row jsonb not null,
  constraint luggage_pkey primary key (community_id, table_name, key)
);
comment on table private.luggage is
'Rows of a community that is moving in, and profiles of its people: by the name of their table and their primary key. A
row that comes once more replaces the one before. Empty but during a move.';
alter table private.luggage enable row level security;
create policy nobody_reads_luggage on private.luggage for select to authenticated using (false);

-- ------------------------------------------------------------------------------------------------------------ numbers

create function private.id_sequences()
returns setof regclass
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select c.oid::regclass from pg_catalog.pg_class as c
  where c.relkind = 'S' and c.relnamespace = 'private'::regnamespace;
end;
$$;
comment on function private.id_sequences is 'Every sequence of the house: where ids that grow come from.';

create function private.is_numbered(p_sequence regclass)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (select s.seqincrement = 1024 from pg_catalog.pg_sequence as s where s.seqrelid = p_sequence);
end;
$$;
comment on function private.is_numbered is
'Whether a sequence gives ids that no other database of the Bureau gives.';

create function private.number_database(p_number integer, p_address_key bytea default null)
returns void
language plpgsql security definer set search_path = '' set lock_timeout = '500ms'
as $$
declare
  v_settings private.settings;
  v_sequence regclass;
begin
  perform private.require_number('number', p_number, 0, 1023);
  select s.* into v_settings from private.settings as s;
  if v_settings.database_number <> p_number then
    perform private.refuse('CONFLICT', 'This database has another number.',
      jsonb_build_object('number', v_settings.database_number));
  elsif v_settings.address_key <> p_address_key then
    perform private.refuse('CONFLICT', 'This database hashes addresses under another key.');
  elsif v_settings.database_number is null and p_number > 0 and exists (select from private.communities) then
    perform private.refuse('CONFLICT', 'Only number 0 may have been in use before it was numbered.');
  end if;
  perform private.note_number(p_number, p_address_key);
  for v_sequence in select s.id from private.id_sequences() as s (id) where not private.is_numbered(s.id) loop
    -- Waits for whoever has asked the sequence anything: nobody holds an id, or a position, of before the jump.
    execute format('alter sequence %s increment by 1024', v_sequence);
    perform setval(v_sequence, 1099511627776 + p_number);
  end loop;
end;
$$;
comment on function private.number_database is
'Makes this the p_number-th (0 to 1023) database of a Bureau spread over several: from now on ids grow from 2^40 in
steps of 1024, each with the remainder p_number, so that two databases never give the same one. p_address_key is the key
under which the first of them hashes addresses; null draws or keeps this one''s own. Number 0 is for the database that
was there before there were several: it alone has ids below 2^40. Again, with the same number, it numbers what has come
since. Where acts are always under way it gives up after half a second (55P03), before they would: try again.

Refuses: CONFLICT (another number, another key, or communities here already and p_number above 0), INVALID_INPUT.';

create function private.id_marks()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select jsonb_object_agg(s.id::text, pg_sequence_last_value(s.id))
    from private.id_sequences() as s (id)
  );
end;
$$;
comment on function private.id_marks is 'The last id given by each sequence, by its name.';

create function private.lift_ids(p_marks jsonb)
returns void
language plpgsql security definer set search_path = '' set lock_timeout = '2s'
as $$
declare
  v_sequence regclass;
  v_short numeric;
begin
  -- Whoever has taken the id of a line has it in the table: let them end, so that nothing below the jump is to come.
  lock table private.chat_messages in share row exclusive mode;
  for v_sequence in select s.id from private.id_sequences() as s (id) loop
    -- 2^31: what the old home gives until its community is held.
    v_short := (p_marks ->> v_sequence::text)::bigint + 2147483648 - pg_sequence_last_value(v_sequence);
    if v_short > 0 then
      perform setval(v_sequence, pg_sequence_last_value(v_sequence) + 4294967296 * ceil(v_short / 4294967296)::bigint);
    end if;
  end loop;
end;
$$;
comment on function private.lift_ids is
'Sees to it that every id given here from now on is greater than those of another database (its private.id_marks), so
that what a community does after its move comes after what it did before.

A lift is a multiple of 2^32, so the lower half of a position, which is what writers of lines lock
(private.next_line_id), means the same before and after. The Chambers of this database wait for it,
2 seconds at most.';

-- ------------------------------------------------------------------------------------------------------------- people

create function private.moving_tables(out name text, out home text, out place integer)
returns setof record
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  with recursive tables as (
    select c.oid, c.relname, a.attname
    from pg_catalog.pg_class as c
    join pg_catalog.pg_attribute as a on a.attrelid = c.oid
    where c.relkind = 'r' and c.relnamespace = 'private'::regnamespace
      and a.attname = case when c.relname = 'communities' then 'id' else 'community_id' end
      and c.relname not in ('departures', 'luggage')
  ), placed as (
    select t.oid, 1 as place from tables as t
    union
    select f.conrelid, p.place + 1
    from placed as p
    join pg_catalog.pg_constraint as f on f.confrelid = p.oid and f.contype = 'f' and f.conrelid <> f.confrelid
    join tables as t on t.oid = f.conrelid
  )
  select t.relname::text, t.attname::text, max(p.place)
  from tables as t
  join placed as p on p.oid = t.oid
  group by t.relname, t.attname
  order by max(p.place), t.relname;
end;
$$;
comment on function private.moving_tables is
'Every table with rows of communities, the column (home) that says of which, and its place in an order in which no row
comes before one it refers to.';

create function private.people_of(p_community_id uuid)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_column record;
  v_found uuid[];
  v_people uuid[] := array[]::uuid[];
begin
  for v_column in
    select t.name, t.home, a.attname
    from private.moving_tables() as t
    join pg_catalog.pg_attribute as a on a.attrelid = ('private.' || t.name)::regclass
    where a.attnum > 0 and not a.attisdropped and a.attname <> t.home
      and a.atttypid in ('uuid'::regtype, 'uuid[]'::regtype)
  loop
    -- Unnested, an array in an array is its ids, and an id in one is itself.
    execute format(
      'select array(select u.id from private.users as u '
      'where u.id in (select unnest(array[t.%I]) from private.%I as t where t.%I = $1))',
      v_column.attname, v_column.name, v_column.home
    ) into v_found using p_community_id;
    v_people := array(select unnest(v_people) union select unnest(v_found));
  end loop;
  return v_people;
end;
$$;
comment on function private.people_of is
'Everybody whom a row of a community names: who is or was in it, and stewards who acted there.';

create function private.accounts_missing(p_user_ids uuid[])
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return array(
    select p.id from unnest(p_user_ids) as p (id)
    where not exists (select from auth.users as a where a.id = p.id and a.deleted_at is null)
    order by p.id
  );
end;
$$;
comment on function private.accounts_missing is
'Those of these people whom Auth does not know here: housekeeping would take them for deleted, and erase them.';

create function private.pack_people(p_community_id uuid, p_user_ids uuid[])
returns setof private.luggage
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select p_community_id, r.table_name, r.key, r.row
  from (
    select 'users' as table_name, u.id as user_id, jsonb_build_array(u.id) as key, to_jsonb(u) as row
    from private.users as u
    union all
    -- Their invite stays where it was minted.
    select 'admissions', a.user_id, jsonb_build_array(a.user_id), to_jsonb(a) || '{"invite_id": null}'
    from private.admissions as a
    union all
    select 'addresses', a.user_id, jsonb_build_array(a.user_id, a.address_hash), to_jsonb(a) from private.addresses as a
    union all
    select 'erasures', e.user_id, jsonb_build_array(e.user_id), to_jsonb(e) || '{"stuck": []}'
    from private.erasures as e
    union all
    select 'repeats', r.user_id, jsonb_build_array(r.user_id, r.rpc, r.request_id), to_jsonb(r)
    from private.repeats as r
  ) as r
  where r.user_id = any(p_user_ids);
end;
$$;
comment on function private.pack_people is
'What goes along of people, who stay here as well: profile, admission, hashes of addresses, an erasure under way, and
their request ids of 7 days, of whichever community, for which one an id belongs to is not kept.';

create function private.unpack_people(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_missing uuid[];
  v_profile private.users;
begin
  v_missing := private.accounts_missing(array(
    select (l.row ->> 'id')::uuid from private.luggage as l
    where l.community_id = p_community_id and l.table_name = 'users' and l.row ->> 'erased_at' is null
  ));
  if v_missing <> '{}' then
    perform private.refuse('CONFLICT', 'Some of its people have no account here.',
      jsonb_build_object('missing', v_missing[:20]));
  end if;
  for v_profile in
    select p.* from private.luggage as l
    cross join lateral jsonb_populate_record(null::private.users, l.row) as p
    where l.community_id = p_community_id and l.table_name = 'users'
  loop
    if v_profile.erased_at is not null then
      perform private.erase(v_profile.id);
    elsif exists (select from private.users as u where u.id = v_profile.id and u.erased_at is not null) then
      perform private.erase_again(v_profile.id);
    elsif not exists (select from private.community_members as m where m.user_id = v_profile.id) then
      perform private.replace_profile(v_profile);
    end if;
  end loop;
  perform private.unpack_table(p_community_id, t.id)
  from unnest(array[
    'private.users', 'private.admissions', 'private.addresses', 'private.erasures', 'private.repeats'
  ]::regclass[]) as t (id);
  perform private.suspend((l.row ->> 'user_id')::uuid) from private.luggage as l
  where l.community_id = p_community_id and l.table_name = 'admissions' and l.row ->> 'suspended_at' is not null;
end;
$$;
comment on function private.unpack_people is
'Brings the people of a community that moves in. Who is in a community here already keeps the profile they have here;
whoever is erased or suspended on one side is so here. Refuses: CONFLICT {missing} where Auth does not know somebody.';

-- -------------------------------------------------------------------------------------------------------------- rows

create function private.hold_for_move(p_community_id uuid, p_number integer)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.lock_membership(p_community_id);
  -- Acts with words of their own hold no day, but their author's membership.
  perform from private.community_members as m where m.community_id = p_community_id for update;
  perform private.let_go(p_community_id, p_number, private.member_ids(p_community_id));
end;
$$;
comment on function private.hold_for_move is
'Begins a community''s departure to another database: settles its day, waits for whoever acts in it and lets nobody
else begin until the transaction ends. private.pack_community follows in the same transaction.';

create function private.packing(p_table regclass)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      format(
        'delete from private.%1$I as t where t.%2$I = $1 '
        'returning t.%2$I, %1$L::text, jsonb_build_array(%3$s), to_jsonb(t)',
        m.name, m.home, string_agg(format('t.%I', a.attname), ', ' order by array_position(c.conkey, a.attnum))
      )
    from private.moving_tables() as m
    join pg_catalog.pg_constraint as c on c.conrelid = p_table and c.contype = 'p'
    join pg_catalog.pg_attribute as a on a.attrelid = p_table and a.attnum = any(c.conkey)
    where ('private.' || m.name)::regclass = p_table
    group by m.name, m.home
  );
end;
$$;
comment on function private.packing is
'The statement that takes the rows of one community ($1) out of a table, as luggage.';

create function private.pack_community(p_community_id uuid)
returns setof private.luggage
language plpgsql security definer set search_path = ''
as $$
declare
  v_table regclass;
begin
  for v_table in
    select ('private.' || t.name)::regclass from private.moving_tables() as t order by t.place desc, t.name
  loop
    return query execute private.packing(v_table) using p_community_id;
  end loop;
end;
$$;
comment on function private.pack_community is
'Takes every row of a community out of the house and returns them: what is brought to the new home is what was deleted
here, no older version of it. For a session whose session_replication_role is replica: the ledger lets nobody else.';

create function private.unpacking(p_table regclass)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      format(
        'insert into %1$s (%2$s) overriding system value select %3$s from private.luggage as l '
        'cross join lateral jsonb_populate_record(null::%1$s, l.row) as r '
        'where l.community_id = $1 and l.table_name = %4$L order by l.key on conflict do nothing',
        p_table, string_agg(format('%I', a.attname), ', ' order by a.attnum),
        string_agg(format('r.%I', a.attname), ', ' order by a.attnum), c.relname
      )
    from pg_catalog.pg_class as c
    join pg_catalog.pg_attribute as a on a.attrelid = c.oid
    -- What PostgreSQL reckons itself it will reckon again.
    where c.oid = p_table and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    group by c.relname
  );
end;
$$;
comment on function private.unpacking is
'The statement that puts the rows of one community ($1), which are in the luggage, in a table; what is there stays.';

create function private.unpack_table(p_community_id uuid, p_table regclass)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_rows integer;
begin
  execute private.unpacking(p_table) using p_community_id;
  get diagnostics v_rows = row_count;
  return v_rows;
end;
$$;
comment on function private.unpack_table is 'Puts the rows of one table in place; returns how many were not there yet.';

create function private.require_lifted(p_community_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_column record;
  v_beyond boolean;
begin
  for v_column in
    select t.name, t.home, a.attname, pg_get_serial_sequence('private.' || t.name, a.attname)::regclass as sequence
    from private.moving_tables() as t
    join pg_catalog.pg_attribute as a on a.attrelid = ('private.' || t.name)::regclass and a.attidentity <> ''
  loop
    execute format(
      'select coalesce(max(t.%I) > $2, false) from private.%I as t where t.%I = $1',
      v_column.attname, v_column.name, v_column.home
    ) into v_beyond using p_community_id, pg_sequence_last_value(v_column.sequence);
    if v_beyond then
      raise exception 'an id of % is greater than any given here', v_column.name;
    end if;
  end loop;
end;
$$;
comment on function private.require_lifted is
'Asks that no id of a community is greater than those this database has given: the next ones must come after.';

create function private.unpack_community(p_community_id uuid)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  v_table regclass;
  v_rows integer := 0;
begin
  perform private.unpack_people(p_community_id);
  for v_table in
    select ('private.' || t.name)::regclass from private.moving_tables() as t order by t.place, t.name
  loop
    v_rows := v_rows + private.unpack_table(p_community_id, v_table);
  end loop;
  if v_rows <> (
    select count(*) from private.luggage as l
    where l.community_id = p_community_id and l.table_name in (select t.name from private.moving_tables() as t)
  ) then
    raise exception 'some rows of this community are here already';
  end if;
  perform private.require_lifted(p_community_id);
  perform private.welcome_back(p_community_id);
  delete from private.luggage as l where l.community_id = p_community_id;
  return v_rows;
end;
$$;
comment on function private.unpack_community is
'Puts a community, whose rows are in the luggage, in its place here with its people; returns how many rows that were.
Every check, key and foreign key of the house is asked. Refuses: as private.unpack_people.';

create function private.under_way()
returns text[]
language plpgsql volatile security definer set search_path = ''
as $$
begin
  return array(
    select l.virtualtransaction from pg_catalog.pg_locks as l
    join pg_catalog.pg_stat_activity as a on a.pid = l.pid
    where l.locktype = 'virtualxid' and l.mode = 'ExclusiveLock' and l.pid <> pg_backend_pid()
      and a.datname = current_database() and a.backend_type in ('client backend', 'pg_cron')
  );
end;
$$;
comment on function private.under_way is
'The transactions now under way in this database, this one left out: an act that met a community before it left may
still write until they have all ended.';
