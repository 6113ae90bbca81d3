-- Communities, their members and roles, and the guards every other room asks (RULES 2).

create table private.communities (
  id uuid not null default gen_random_uuid(),
  name text not null,
  description text not null default '',
  timezone text not null default 'UTC',
  daily_cc_budget integer not null default 100,
  electorate text not null default 'council',
  pending jsonb not null default '{}',
  willed text[] not null default '{}',
  created_by uuid not null,
  created_at timestamptz not null default private.clock(),
  constraint communities_pkey primary key (id),
  constraint communities_created_by_fkey foreign key (created_by) references private.users (id),
  constraint communities_name_length check (char_length(name) between 1 and 50),
  constraint communities_description_length check (char_length(description) <= 200),
  constraint communities_daily_cc_budget_range check (daily_cc_budget between 10 and 1000),
  constraint communities_electorate_known check (electorate in ('council', 'members'))
);
comment on table private.communities is
'The communities and their settings in force; pending holds what takes force at the next Dawn, willed
which of it all have willed, so that no moderator overrides it (RULES 2.4, 16.1).';
create index communities_created_by_idx on private.communities (created_by);
alter table private.communities enable row level security;
grant select on private.communities to authenticated;

create table private.community_members (
  community_id uuid not null,
  user_id uuid not null,
  roles text[] not null default '{member}',
  joined_at timestamptz not null default private.clock(),
  joined_day date not null,
  left_at timestamptz,
  council_since timestamptz,
  constraint community_members_pkey primary key (community_id, user_id),
  constraint community_members_community_id_fkey foreign key (community_id) references private.communities (id),
  constraint community_members_user_id_fkey foreign key (user_id) references private.users (id),
  constraint community_members_roles_known check (
    'member' = any(roles) and roles <@ array['member', 'moderator', 'council']
  )
);
comment on table private.community_members is
'Everyone who is or ever was in a community; left_at is null while they are. What people did refers to this row, so
it stays when they leave, and joined_at is their latest joining; joined_day the community''s day then, as it was called:
no change of zone rewrites it. roles are those written down; private.roles_now knows an election whose end has come.';
create index community_members_user_id_community_id_idx on private.community_members (user_id, community_id);
create index community_members_present_idx on private.community_members (community_id, joined_at) where left_at is null;
create index community_members_moderators_idx on private.community_members (community_id, user_id)
where left_at is null and 'moderator' = any(roles);
alter table private.community_members enable row level security;
grant select on private.community_members to authenticated;

create function private.my_communities()
returns setof uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.users := private.able_person(private.caller_id());
begin
  return query
  select m.community_id
  from private.community_members as m
  where m.user_id = v_me.id and m.left_at is null;
end;
$$;
comment on function private.my_communities is
'The communities the caller is in; empty unless they are admitted. Policies ask it once per query: community_id =
any(array(select private.my_communities())).';
grant execute on function private.my_communities to authenticated;

create policy members_read_communities on private.communities for select to authenticated
using (id = any(array(select private.my_communities())));

create policy members_read_members on private.community_members for select to authenticated
using (community_id = any(array(select private.my_communities())));

create policy people_read_themselves_and_those_they_met on private.users for select to authenticated
using (
  id = (select private.my_id())
  or exists (
    select from private.community_members as m
    where m.user_id = users.id and m.community_id = any(array(select private.my_communities()))
  )
);

create function private.require_member(p_community_id uuid)
returns private.community_members
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.users := private.able_person(private.caller_id());
  v_member private.community_members;
begin
  select m.* into v_member
  from private.community_members as m
  where m.community_id = p_community_id and m.user_id = v_me.id and m.left_at is null;
  -- Who gets no answer learns first who they are.
  if not found then
    perform private.require_admitted();
    perform private.refuse_absent(p_community_id, v_me.id);
  end if;
  return v_member;
end;
$$;
comment on function private.require_member is
'Returns the caller''s membership of a community. A stranger gets the same answer whether the community exists or
not.

Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND {moved_to} (to whoever was in it when it moved, see 195_departures).';
grant execute on function private.require_member to authenticated;

create function private.require_acting_member(p_community_id uuid)
returns private.community_members
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.able_person(private.caller_id());
  v_member private.community_members;
begin
  select m.* into v_member
  from private.community_members as m
  where m.community_id = p_community_id and m.user_id = v_me.id and m.left_at is null
  for key share;
  if not found then
    return private.require_member(p_community_id);
  end if;
  return v_member;
end;
$$;
comment on function private.require_acting_member is
'As private.require_member, and keeps the membership from ending until the transaction ends: how an act begins that
writes words. Whoever ends a membership, an erasure too, waits for it or is found to have come first (RULES 13.4).';

create function private.begin_words(p_community_id uuid)
returns private.users
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.users := private.able_person(private.caller_id());
begin
  perform
  from private.community_members as m
  where m.community_id = p_community_id and m.user_id = v_me.id and m.left_at is null
  for key share;
  if not found then
    perform private.require_member(p_community_id);
  end if;
  return v_me;
end;
$$;
comment on function private.begin_words is
'As private.require_acting_member, and returns the caller''s profile: how one begins who speaks and is shown speaking.';

create function private.require_seen(p_community_id uuid, p_noun text)
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.users := private.able_person(private.caller_id());
begin
  perform
  from private.community_members as m
  where m.community_id = p_community_id and m.user_id = v_me.id and m.left_at is null;
  if not found then
    perform private.require_admitted();
    perform private.refuse('NOT_FOUND', format('There is no such %s.', p_noun));
  end if;
  return v_me.id;
end;
$$;
comment on function private.require_seen is
'Asks that the caller is in the community of a thing that was looked up by its id, and returns the caller''s id; a null
community means that nothing was found. A stranger gets the same answer whether the thing exists or not.

Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND.';
grant execute on function private.require_seen to authenticated;

create function private.member_ids(p_community_id uuid)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return array(
    select m.user_id from private.community_members as m
    where m.community_id = p_community_id and m.left_at is null
      and not exists (select from private.erasures as e where e.user_id = m.user_id)
    order by m.user_id
  );
end;
$$;
comment on function private.member_ids is
'The ids of everyone in a community now, in id order. Who is erased is in no community from that moment on, though the
leaving itself follows.';

create function private.is_member(p_community_id uuid, p_user_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return exists (
    select from private.community_members as m
    where m.community_id = p_community_id and m.user_id = p_user_id and m.left_at is null
      and not exists (select from private.erasures as e where e.user_id = m.user_id)
  );
end;
$$;
comment on function private.is_member is 'Whether a person is in a community now, able or not.';

create function private.able_member_ids(p_community_id uuid)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return private.able_among(private.member_ids(p_community_id));
end;
$$;
comment on function private.able_member_ids is
'The ids of everyone in a community who can act now, in id order: of whom rolls, candidates and heirs are made.';

create function private.next_budget(p_community_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce((c.pending ->> 'daily_cc_budget')::integer, c.daily_cc_budget)
    from private.communities as c
    where c.id = p_community_id
  );
end;
$$;
comment on function private.next_budget is 'What the next Dawn will grant, in CC, as pending settings stand.';

create function private.next_timezone(p_community_id uuid)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce(c.pending ->> 'timezone', c.timezone) from private.communities as c where c.id = p_community_id
  );
end;
$$;
comment on function private.next_timezone is 'The zone of the day that the next Dawn opens, as pending settings stand.';

create function private.apply_pending(p_community_id uuid)
returns private.communities
language plpgsql security definer set search_path = ''
as $$
declare
  v_community private.communities;
begin
  select c.* into v_community from private.communities as c where c.id = p_community_id;
  if v_community.pending <> '{}' or v_community.willed <> '{}' then
    update private.communities as c
    set
      timezone = coalesce(c.pending ->> 'timezone', c.timezone),
      daily_cc_budget = coalesce((c.pending ->> 'daily_cc_budget')::integer, c.daily_cc_budget),
      electorate = coalesce(c.pending ->> 'electorate', c.electorate),
      pending = '{}',
      willed = '{}'
    where c.id = p_community_id
    returning c.* into v_community;
  end if;
  return v_community;
end;
$$;
comment on function private.apply_pending is 'Puts pending settings in force and returns the community as it now is.';

create function private.lock_community(p_community_id uuid)
returns private.communities
language sql security definer set search_path = ''
begin atomic
  select c.* from private.communities as c
  where c.id = p_community_id for no key update;
end;
comment on function private.lock_community is
'Locks a community until the transaction ends and returns it; the day, if it matters, is held before.';

create function private.hold_roll(p_community_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  select from private.communities as c
  where c.id = p_community_id for share;
end;
comment on function private.hold_roll is
'Keeps members from leaving until the transaction ends, by holding the community''s row: what draws up a roll, or
names a member, takes it after the day; who leaves or is removed locks the row as private.lock_community does.';

create function private.change_community(
  p_community_id uuid, p_name text, p_description text, p_pending jsonb, p_willed text[] default '{}'
)
returns void
language sql security definer set search_path = ''
begin atomic
  update private.communities as c
  set
    name = coalesce(p_name, c.name), description = coalesce(p_description, c.description), pending = p_pending,
    willed = c.willed || p_willed
  where c.id = p_community_id;
end;
comment on function private.change_community is
'Changes name and description at once (null: as it was) and says what pends, and what of it all have willed now.';

create function private.with_role(p_roles text[], p_role text, p_granted boolean)
returns text[]
language plpgsql immutable set search_path = ''
as $$
begin
  return array(
    select r.role from unnest(array['member', 'moderator', 'council']) with ordinality as r (role, place)
    where case when r.role = p_role then p_granted else r.role = any(p_roles) end
    order by r.place
  );
end;
$$;
comment on function private.with_role is 'Roles with one more or one less, in the order in which they are always told.';

create function private.set_role(p_community_id uuid, p_user_id uuid, p_role text, p_granted boolean)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  update private.community_members as m
  set
    roles = private.with_role(m.roles, p_role, p_granted),
    council_since = case
      when p_role <> 'council' then m.council_since
      when p_granted then private.clock()
    end
  where m.community_id = p_community_id and m.user_id = p_user_id and m.left_at is null
    and (p_role = any(m.roles)) <> p_granted;
  return found;
end;
$$;
comment on function private.set_role is
'Gives a standing member a role or takes it; returns whether that changed anything. Who may, and that one moderator
stays, is the caller''s affair, who has locked the community.';

create function private.make_community(
  p_id uuid, p_founder_id uuid, p_name text, p_description text, p_timezone text, p_daily_cc_budget integer
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.communities (id, name, description, timezone, daily_cc_budget, created_by)
  values (p_id, p_name, p_description, p_timezone, p_daily_cc_budget, p_founder_id);
end;
$$;
comment on function private.make_community is 'Makes a community, with nobody in it yet.';

create function private.mark_joined(p_community_id uuid, p_user_id uuid, p_roles text[], p_day date)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.community_members as m (community_id, user_id, roles, joined_day)
  values (p_community_id, p_user_id, p_roles, p_day)
  on conflict (community_id, user_id) do update
  set roles = excluded.roles, joined_at = private.clock(), joined_day = excluded.joined_day, left_at = null
  where m.left_at is not null;
  return found;
end;
$$;
comment on function private.mark_joined is
'Makes a person a member from a day of the community on; returns false, and changes nothing, if they are one.';

create function private.mark_left(p_community_id uuid, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  -- Alone: an act of theirs under way holds the row, is waited for, and is then found by whatever follows.
  perform from private.community_members as m
  where m.community_id = p_community_id and m.user_id = p_user_id
  for update;
  update private.community_members as m
  set roles = '{member}', council_since = null, left_at = private.clock()
  where m.community_id = p_community_id and m.user_id = p_user_id and m.left_at is null;
end;
$$;
comment on function private.mark_left is 'Makes a member one who was; every role goes with the membership.';
