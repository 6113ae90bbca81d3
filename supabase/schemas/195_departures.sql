-- Communities that lived here once and have moved to another database of the Bureau (945_moving). Nobody asks before a
-- refusal is due: who is at home here pays nothing for those who left.

create table private.departures (
  community_id uuid not null,
  database_number integer not null,
  member_ids uuid[] not null,
  departed_at timestamptz not null,
  constraint departures_pkey primary key (community_id)
);
comment on table private.departures is
'Where communities have gone that lived here: the number of their new home, and who was in them, for nobody else is
told. The row is written with the last of a community''s rows, and goes when it comes back.';
alter table private.departures enable row level security;
create policy nobody_reads_departures on private.departures for select to authenticated using (false);

create function private.refuse_absent(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_number integer;
begin
  select d.database_number into v_number from private.departures as d
  where d.community_id = p_community_id and p_user_id = any(d.member_ids);
  if found then
    perform private.refuse('NOT_FOUND', 'This community has moved to another database.',
      jsonb_build_object('moved_to', v_number));
  end if;
  perform private.refuse('NOT_FOUND', 'There is no such community.');
end;
$$;
comment on function private.refuse_absent is
'Refuses a community to somebody who is not in it: NOT_FOUND, whether it exists or not; with {moved_to}, the number of
its new home, to whoever was in it when it moved.';

create function private.let_go(p_community_id uuid, p_number integer, p_member_ids uuid[])
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.departures (community_id, database_number, member_ids, departed_at)
  values (p_community_id, p_number, p_member_ids, private.clock());
end;
$$;
comment on function private.let_go is 'Writes down that a community moves to the database of this number.';

create function private.welcome_back(p_community_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.departures as d where d.community_id = p_community_id;
end;
$$;
comment on function private.welcome_back is 'Forgets that a community left, if it did: it is at home here.';
