-- Members: who is in a community, and what each has declared and witnessed (RULES 2).

create function private.show_everyone(p_community_id uuid)
returns json
language plpgsql stable security definer set search_path = ''
as $$
begin
  return (
    select coalesce(json_agg(s.member order by s.joined_at, s.user_id), '[]')
    from private.shown_members(p_community_id, private.member_ids(p_community_id)) as s
  );
end;
$$;
comment on function private.show_everyone is 'Everyone in a community. Only for a door that has asked whose it is.';

create function private.list_members(p_community_id uuid)
returns json
language plpgsql stable security definer set search_path = ''
as $$
begin
  perform private.require_member(p_community_id);
  return json_build_object('members', private.show_everyone(p_community_id));
end;
$$;

create function public.list_members(community_id uuid)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.list_members(list_members.community_id);
end;
$$;
comment on function public.list_members is
'Everyone in a community, longest-standing first; able is false for who cannot act now.

Returns {members: [member]}. Refuses: NOT_FOUND.';
grant execute on function public.list_members, private.list_members to authenticated;

create function private.get_community(p_community_id uuid)
returns json
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
begin
  return json_build_object(
    'community', private.show_community_to(p_community_id, 'moderator' = any(private.roles_now(v_me))),
    'members', private.show_everyone(p_community_id)
  );
end;
$$;

create function public.get_community(community_id uuid)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.get_community(get_community.community_id);
end;
$$;
comment on function public.get_community is
'One community and everyone in it.

Returns {community, members: [member]}; community.invite_code for its moderators only. Refuses: NOT_FOUND.';
grant execute on function public.get_community, private.get_community to authenticated;

create function private.get_member_profile(p_community_id uuid, p_user_id uuid)
returns json
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  v_me private.community_members := private.require_member(p_community_id);
  v_today date := (private.day_at(p_community_id, private.clock())).day;
  v_profile json;
begin
  select json_build_object(
    'user', p.person,
    'communities_shared', (
      select count(*)
      from private.community_members as theirs
      join private.community_members as mine on mine.community_id = theirs.community_id
      where theirs.user_id = p_user_id and theirs.left_at is null
        and mine.user_id = v_me.user_id and mine.left_at is null
    ),
    'total_declarations', d.declarations,
    'total_cc_spent', d.spent,
    'avg_cc_per_declaration', case when d.declarations = 0 then 0 else round(d.spent::numeric / d.declarations, 2) end,
    'most_expensive_declaration', (
      select s.declaration from private.shown_declarations as s
      where s.community_id = p_community_id and s.user_id = p_user_id and (s.declaration).cc_spent = d.most
      order by s.day, s.number
      limit 1
    ),
    'current_streak', case when r.alive_through >= v_today then r.days else 0 end,
    'longest_streak', coalesce(r.longest, 0),
    'witnessed_given', (
      select count(*) from private.witnesses as w
      where w.community_id = p_community_id and w.user_id = p_user_id
    ),
    'witnessed_received', d.witnessed,
    'joined_at', m.joined_at,
    'left_at', m.left_at
  )
  into v_profile
  from private.community_members as m
  join private.shown_people as p on p.id = m.user_id
  left join private.shown_streaks as r on r.community_id = m.community_id and r.user_id = m.user_id
  cross join (
    select
      count(*) as declarations,
      coalesce(sum(o.cc_spent), 0) as spent,
      coalesce(sum(o.witnessed_count), 0) as witnessed,
      max(o.cc_spent) as most
    from private.declarations as o
    where o.community_id = p_community_id and o.user_id = p_user_id
  ) as d
  where m.community_id = p_community_id and m.user_id = p_user_id;
  if v_profile is null then
    perform private.refuse('NOT_FOUND', 'There is no such member.');
  end if;
  return v_profile;
end;
$$;
comment on function private.get_member_profile is
'It asks for membership once and reads with its owner''s rights: row by row, row
level security would double its cost.';
create function public.get_member_profile(community_id uuid, user_id uuid)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
begin
  return private.get_member_profile(get_member_profile.community_id, get_member_profile.user_id);
end;
$$;
comment on function public.get_member_profile is
'What a member, present or former, has declared and witnessed in a community the caller is in.

Returns {user, communities_shared (how many), total_declarations, total_cc_spent, avg_cc_per_declaration,
most_expensive_declaration (a declaration or null; the earliest of equals), current_streak, longest_streak (days),
witnessed_given, witnessed_received, joined_at, left_at}. Refuses: NOT_FOUND.';
grant execute on function public.get_member_profile, private.get_member_profile to authenticated;
