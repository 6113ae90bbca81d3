-- Communities, their members and roles, and the guards every other room asks (RULES 2).

create table public.communities (
  id uuid not null default gen_random_uuid(),
  name text not null,
  description text not null default '',
  timezone text not null default 'UTC',
  daily_cc_budget integer not null default 100,
  electorate text not null default 'council',
  pending jsonb not null default '{}',
  created_by uuid not null,
  created_at timestamptz not null default private.clock(),
  constraint communities_pkey primary key (id),
  constraint communities_created_by_fkey foreign key (created_by) references public.users (id),
  constraint communities_name_length check (char_length(name) between 1 and 50),
  constraint communities_description_length check (char_length(description) <= 200),
  constraint communities_daily_cc_budget_range check (daily_cc_budget between 10 and 1000),
  constraint communities_electorate_known check (electorate in ('council', 'members'))
);
comment on table public.communities is
'The communities and their settings in force; pending holds what takes force at the next Dawn (RULES 2.4).';
create index communities_created_by_idx on public.communities (created_by);
alter table public.communities enable row level security;
grant select on public.communities to authenticated;

create table public.community_members (
  community_id uuid not null,
  user_id uuid not null,
  roles text[] not null default '{member}',
  joined_at timestamptz not null default private.clock(),
  left_at timestamptz,
  council_since timestamptz,
  constraint community_members_pkey primary key (community_id, user_id),
  constraint community_members_community_id_fkey foreign key (community_id) references public.communities (id),
  constraint community_members_user_id_fkey foreign key (user_id) references public.users (id),
  constraint community_members_roles_known check (
    'member' = any(roles) and roles <@ array['member', 'moderator', 'council']
  )
);
comment on table public.community_members is
'Everyone who is or ever was in a community; left_at is null while they are. What people did refers to this row, so
it stays when they leave, and joined_at is their latest joining.';
create index community_members_user_id_community_id_idx on public.community_members (user_id, community_id);
create index community_members_standing_idx on public.community_members (community_id, joined_at) where left_at is null;
alter table public.community_members enable row level security;
grant select on public.community_members to authenticated;

create table public.join_codes (
  community_id uuid not null,
  code text not null,
  is_open boolean not null default true,
  expires_at timestamptz,
  constraint join_codes_pkey primary key (community_id),
  constraint join_codes_community_id_fkey foreign key (community_id) references public.communities (id),
  constraint join_codes_code_length check (char_length(code) >= 12)
);
comment on table public.join_codes is
'The code a community is joined by; apart from communities, for only moderators see it.';
-- By its hash, so that how long a search takes tells nothing of how much of a guess was right.
create unique index join_codes_code_unique on public.join_codes (extensions.digest(code, 'sha256'));
alter table public.join_codes enable row level security;
grant select on public.join_codes to authenticated;

create table private.bans (
  community_id uuid not null,
  user_id uuid not null,
  created_at timestamptz not null default private.clock(),
  constraint bans_pkey primary key (community_id, user_id),
  constraint bans_member_fkey foreign key (community_id, user_id)
  references public.community_members (community_id, user_id)
);
comment on table private.bans is 'Who may not come back to a community; why is in its audit log.';
alter table private.bans enable row level security;
create policy nobody_reads_bans on private.bans for select to authenticated using (false);

create function private.my_communities()
returns setof uuid
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.caller_id();
begin
  return query
  select m.community_id
  from public.community_members as m
  join private.standings as s on s.user_id = m.user_id
  where m.user_id = v_me and m.left_at is null and s.standing = 'admitted';
end;
$$;
comment on function private.my_communities is
'The communities the caller is in; empty unless they are admitted. Policies ask it once per query: community_id =
any(array(select private.my_communities())).';
revoke all on function private.my_communities from public, anon, authenticated, service_role;
grant execute on function private.my_communities to authenticated;

create function private.my_moderated_communities()
returns setof uuid
language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
  select m.community_id from public.community_members as m
  where m.user_id = private.my_id() and m.left_at is null and 'moderator' = any(m.roles);
end;
$$;
comment on function private.my_moderated_communities is 'The communities the caller moderates; for policies.';
revoke all on function private.my_moderated_communities from public, anon, authenticated, service_role;
grant execute on function private.my_moderated_communities to authenticated;

create policy members_read_communities on public.communities for select to authenticated
using (id = any(array(select private.my_communities())));
create policy members_read_members on public.community_members for select to authenticated
using (community_id = any(array(select private.my_communities())));
create policy moderators_read_join_codes on public.join_codes for select to authenticated
using (community_id = any(array(select private.my_moderated_communities())));
create policy people_read_themselves_and_those_they_met on public.users for select to authenticated
using (
  id = (select private.my_id())
  or exists (
    select from public.community_members as m
    where m.user_id = users.id and m.community_id = any(array(select private.my_communities()))
  )
);

create function private.require_member(p_community_id uuid)
returns public.community_members
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me uuid := private.caller_id();
  v_member public.community_members;
begin
  -- Every call of a member passes here, so it is one question; who gets no answer learns first who they are.
  select m.* into v_member
  from public.community_members as m
  join private.standings as s on s.user_id = m.user_id
  where m.community_id = p_community_id and m.user_id = v_me and m.left_at is null and s.standing = 'admitted';
  if not found then
    perform private.require_admitted();
    perform private.refuse('NOT_FOUND', 'There is no such community.');
  end if;
  return v_member;
end;
$$;
comment on function private.require_member is
'Returns the caller''s membership of a community. A stranger gets the same answer whether the community exists or
not.

Refuses: UNAUTHORIZED, INVITE_REQUIRED, NOT_FOUND.';
revoke all on function private.require_member from public, anon, authenticated, service_role;
grant execute on function private.require_member to authenticated;

create function private.require_moderator(p_community_id uuid)
returns public.community_members
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_member public.community_members := private.require_member(p_community_id);
begin
  if 'moderator' <> all(v_member.roles) then
    perform private.refuse('FORBIDDEN', 'Only moderators may do this.');
  end if;
  return v_member;
end;
$$;
comment on function private.require_moderator is
'Returns the caller''s membership if they moderate the community.

Refuses: as require_member, FORBIDDEN.';
revoke all on function private.require_moderator from public, anon, authenticated, service_role;
grant execute on function private.require_moderator to authenticated;

create function private.standing_members(p_community_id uuid)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select array(
      select m.user_id from public.community_members as m
      where m.community_id = p_community_id and m.left_at is null
      order by m.user_id
    )
  );
end;
$$;
comment on function private.standing_members is 'The ids of everyone in a community now, in id order.';
revoke all on function private.standing_members from public, anon, authenticated, service_role;

create function private.is_standing_member(p_community_id uuid, p_user_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select exists(
      select from public.community_members as m
      where m.community_id = p_community_id and m.user_id = p_user_id and m.left_at is null
    )
  );
end;
$$;
comment on function private.is_standing_member is 'Whether a person is in a community now.';
revoke all on function private.is_standing_member from public, anon, authenticated, service_role;

create function private.require_timezone(p_timezone text)
returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
  -- The view reads every zone's file, so the default goes by it and the shape is looked at first.
  if p_timezone = 'UTC' then
    return p_timezone;
  end if;
  if p_timezone !~ '^[A-Za-z][A-Za-z0-9_+/-]{1,63}$'
    or p_timezone ~ '^(posix|right)/|^(posixrules|localtime|Factory)$'
    or not exists (select from pg_catalog.pg_timezone_names as z where z.name = p_timezone)
    or p_timezone is null
  then
    perform private.refuse('INVALID_INPUT', 'timezone must be an IANA name, such as Europe/Lisbon.',
      jsonb_build_object('field', 'timezone'));
  end if;
  return p_timezone;
end;
$$;
comment on function private.require_timezone is
'Returns the name of a time zone of the IANA database (https://www.iana.org/time-zones) unchanged, or refuses it.

Refuses: INVALID_INPUT {field}. Abbreviations that are no zone of their own and POSIX formulas are refused.';
revoke all on function private.require_timezone from public, anon, authenticated, service_role;

create function private.found_community(
  p_founder_id uuid, p_name text, p_description text, p_timezone text, p_daily_cc_budget integer
)
returns public.communities
language plpgsql security definer set search_path = ''
as $$
declare
  v_community public.communities;
begin
  -- The founder's row is the queue in which their communities are counted.
  perform from public.users as u where u.id = p_founder_id for no key update;
  if (select count(*) from public.communities as c where c.created_by = p_founder_id) >= 10 then
    perform private.refuse('CONFLICT', 'One person may found ten communities.', jsonb_build_object('most', 10));
  end if;
  insert into public.communities (name, description, timezone, daily_cc_budget, created_by)
  values (p_name, p_description, p_timezone, p_daily_cc_budget, p_founder_id)
  returning * into v_community;
  insert into public.join_codes (community_id, code) values (v_community.id, lower(private.make_code(12)));
  insert into public.community_members (community_id, user_id, roles)
  values (v_community.id, p_founder_id, '{member,moderator}');
  return v_community;
end;
$$;
comment on function private.found_community is
'Makes a community with its join code and its founder as first member and moderator.

Refuses: CONFLICT (the eleventh of one person, left ones counted).';
revoke all on function private.found_community from public, anon, authenticated, service_role;

create function private.find_by_join_code(p_code text)
returns uuid
language sql stable security definer set search_path = ''
begin atomic
  select j.community_id from public.join_codes as j
  where
    extensions.digest(j.code, 'sha256') = extensions.digest(lower(btrim(p_code, e' \t\n\r')), 'sha256')
    and j.is_open and (j.expires_at is null or j.expires_at > private.clock());
end;
comment on function private.find_by_join_code is
'The community a join code opens now, or null: by hash, an exact match after trimming and lower-casing.';
revoke all on function private.find_by_join_code from public, anon, authenticated, service_role;

create function private.add_member(p_community_id uuid, p_user_id uuid)
returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  v_is_first boolean := not exists (
    select from public.community_members as m where m.community_id = p_community_id and m.user_id = p_user_id
  );
begin
  insert into public.community_members as m (community_id, user_id) values (p_community_id, p_user_id)
  on conflict (community_id, user_id) do update
  set roles = '{member}', joined_at = private.clock(), left_at = null
  where m.left_at is not null;
  if not found then
    perform private.refuse('CONFLICT', 'You are already in this community.');
  end if;
  -- Asked last, with the row in hand: a removal under way has been waited for.
  if exists (select from private.bans as b where b.community_id = p_community_id and b.user_id = p_user_id) then
    perform private.refuse('FORBIDDEN', 'You may not come back to this community.');
  end if;
  return v_is_first;
end;
$$;
comment on function private.add_member is
'Makes a person a member, with no other role; returns whether it is their first time.

Refuses: CONFLICT (already in), FORBIDDEN (banned).';
revoke all on function private.add_member from public, anon, authenticated, service_role;

create function private.next_budget(p_community_id uuid)
returns integer
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce((c.pending ->> 'daily_cc_budget')::integer, c.daily_cc_budget)
    from public.communities as c
    where c.id = p_community_id
  );
end;
$$;
comment on function private.next_budget is 'What the next Dawn will grant, in CC, as pending settings stand.';
revoke all on function private.next_budget from public, anon, authenticated, service_role;

create function private.apply_pending(p_community_id uuid)
returns public.communities
language plpgsql security definer set search_path = ''
as $$
declare
  v_community public.communities;
begin
  update public.communities as c
  set
    timezone = coalesce(c.pending ->> 'timezone', c.timezone),
    daily_cc_budget = coalesce((c.pending ->> 'daily_cc_budget')::integer, c.daily_cc_budget),
    electorate = coalesce(c.pending ->> 'electorate', c.electorate),
    pending = '{}'
  where c.id = p_community_id and c.pending <> '{}';
  select c.* into v_community from public.communities as c where c.id = p_community_id;
  return v_community;
end;
$$;
comment on function private.apply_pending is 'Puts pending settings in force and returns the community as it now is.';
revoke all on function private.apply_pending from public, anon, authenticated, service_role;

create function private.lock_community(p_community_id uuid)
returns public.communities
language sql security definer set search_path = ''
begin atomic
  select c.* from public.communities as c
  where c.id = p_community_id for no key update;
end;
comment on function private.lock_community is
'Locks a community until the transaction ends and returns it; the day, if it matters, is held before.';
revoke all on function private.lock_community from public, anon, authenticated, service_role;

create function private.hold_roll(p_community_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  select from public.communities as c
  where c.id = p_community_id for share;
end;
comment on function private.hold_roll is
'Keeps members from leaving until the transaction ends, by holding the community''s row: what draws up a roll, or
names a member, takes it after the day; who leaves or is removed locks the row as private.lock_community does.';
revoke all on function private.hold_roll from public, anon, authenticated, service_role;

create function private.change_community(p_community_id uuid, p_name text, p_description text, p_pending jsonb)
returns void
language sql security definer set search_path = ''
begin atomic
  update public.communities as c
  set name = coalesce(p_name, c.name), description = coalesce(p_description, c.description), pending = p_pending
  where c.id = p_community_id;
end;
comment on function private.change_community is
'Changes name and description at once (null: as it was) and says what pends.';
revoke all on function private.change_community from public, anon, authenticated, service_role;

create function private.change_join_code(
  p_community_id uuid, p_rotate boolean, p_open boolean, p_expires_at timestamptz
)
returns void
language sql security definer set search_path = ''
begin atomic
  update public.join_codes as j
  set
    code = case when p_rotate then lower(private.make_code(12)) else j.code end,
    is_open = coalesce(p_open, p_rotate or j.is_open),
    expires_at = nullif(coalesce(p_expires_at, case when not p_rotate then j.expires_at end), 'infinity')
  where j.community_id = p_community_id;
end;
comment on function private.change_join_code is
'Changes a join code: what is null stays, or where the code is made anew starts open and without expiry.';
revoke all on function private.change_join_code from public, anon, authenticated, service_role;

create function private.set_role(p_community_id uuid, p_user_id uuid, p_role text, p_granted boolean)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  update public.community_members as m
  set
    roles = array(
      select r.role from unnest(array['member', 'moderator', 'council']) with ordinality as r (role, place)
      where case when r.role = p_role then p_granted else r.role = any(m.roles) end
      order by r.place
    ),
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
revoke all on function private.set_role from public, anon, authenticated, service_role;

create function private.heir_of(p_community_id uuid, p_user_id uuid)
returns uuid
language sql stable security definer set search_path = ''
begin atomic
  select m.user_id from public.community_members as m
  where m.community_id = p_community_id and m.user_id <> p_user_id and m.left_at is null
  order by m.council_since asc nulls last, m.joined_at asc, m.user_id asc
  limit 1;
end;
comment on function private.heir_of is
'Who comes after somebody: the longest-serving council member, else the longest-standing member (RULES 13); null if
nobody is left.';
revoke all on function private.heir_of from public, anon, authenticated, service_role;

create function private.end_membership(p_community_id uuid, p_user_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  update public.community_members as m
  set roles = '{member}', council_since = null, left_at = private.clock()
  where m.community_id = p_community_id and m.user_id = p_user_id and m.left_at is null;
end;
comment on function private.end_membership is 'Makes a member one who was; every role goes with the membership.';
revoke all on function private.end_membership from public, anon, authenticated, service_role;

create function private.ban(p_community_id uuid, p_user_id uuid)
returns void
language sql security definer set search_path = ''
begin atomic
  insert into private.bans (community_id, user_id) values (p_community_id, p_user_id)
  on conflict (community_id, user_id) do nothing;
end;
comment on function private.ban is 'Keeps somebody from coming back to a community.';
revoke all on function private.ban from public, anon, authenticated, service_role;

create function private.is_last_moderator(p_community_id uuid, p_user_id uuid)
returns boolean
language sql stable security definer set search_path = ''
begin atomic
  select coalesce(bool_and(m.user_id = p_user_id), false) from public.community_members as m
  where m.community_id = p_community_id and m.left_at is null and 'moderator' = any(m.roles);
end;
comment on function private.is_last_moderator is 'Whether a person is the one moderator a community has.';
revoke all on function private.is_last_moderator from public, anon, authenticated, service_role;

create view private.shown_members with (security_invoker = on) as
select
  m.community_id,
  m.user_id,
  m.joined_at,
  m.left_at,
  jsonb_build_object(
    'user', p.person, 'community_id', m.community_id, 'roles', m.roles, 'joined_at', m.joined_at
  ) as member
from public.community_members as m
inner join private.shown_people as p on m.user_id = p.id;
comment on view private.shown_members is 'The shape member; those with a left_at are gone.';
grant select on private.shown_members to authenticated;

create function private.show_member(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select s.member from private.shown_members as s
    where s.community_id = p_community_id and s.user_id = p_user_id
  );
end;
$$;
comment on function private.show_member is 'The shape member of one person.';
revoke all on function private.show_member from public, anon, authenticated, service_role;

create function private.show_community(p_community_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select
      jsonb_build_object(
        'id', c.id, 'name', c.name, 'description', c.description, 'timezone', c.timezone,
        'daily_cc_budget', c.daily_cc_budget, 'electorate', c.electorate, 'created_at', c.created_at,
        'member_count', (
          select count(*) from public.community_members as m
          where m.community_id = c.id and m.left_at is null
        )
      )
      || case
        when c.id in (select private.my_moderated_communities())
          then jsonb_build_object(
            'invite_code', (
              select j.code from public.join_codes as j
              where j.community_id = c.id
            )
          )
        else '{}'
      end
    from public.communities as c
    where
      c.id = p_community_id
      and (private.caller_id() is null or c.id in (select private.my_communities()))
  );
end;
$$;
comment on function private.show_community is
'The shape community, with invite_code if the caller moderates it; null for a person who is not in it.';
revoke all on function private.show_community from public, anon, authenticated, service_role;
grant execute on function private.show_community to authenticated;

create function private.list_members(p_community_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_agg(s.member order by s.joined_at, s.user_id), '[]')
    from private.shown_members as s
    where s.community_id = p_community_id and s.left_at is null
  );
end;
$$;
comment on function private.list_members is
'The members of a community as the caller may see them, longest-standing first.';
revoke all on function private.list_members from public, anon, authenticated, service_role;
grant execute on function private.list_members to authenticated;

create function public.list_members(community_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform private.require_member(list_members.community_id);
  return jsonb_build_object('members', private.list_members(list_members.community_id));
end;
$$;
comment on function public.list_members is
'Everyone in a community, longest-standing first.

Returns {members: [member]}. Refuses: NOT_FOUND.';
revoke all on function public.list_members from public, anon, authenticated, service_role;
grant execute on function public.list_members to authenticated;

create function public.get_community(community_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform private.require_member(get_community.community_id);
  return jsonb_build_object(
    'community', private.show_community(get_community.community_id),
    'members', private.list_members(get_community.community_id)
  );
end;
$$;
comment on function public.get_community is
'One community and everyone in it.

Returns {community, members: [member]}; community.invite_code for its moderators only. Refuses: NOT_FOUND.';
revoke all on function public.get_community from public, anon, authenticated, service_role;
grant execute on function public.get_community to authenticated;
