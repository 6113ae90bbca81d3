-- Founding and joining: where membership and money begin together (RULES 2.1, 2.2), and who may not come back (2.6).

create table private.bans (
  community_id uuid not null,
  user_id uuid not null,
  id bigint generated always as identity,
  banned_by uuid not null,
  reason_id bigint not null,
  created_at timestamptz not null default private.clock(),
  constraint bans_pkey primary key (community_id, user_id),
  constraint bans_member_fkey foreign key (community_id, user_id)
  references private.community_members (community_id, user_id),
  constraint bans_banned_by_fkey foreign key (community_id, banned_by)
  references private.community_members (community_id, user_id),
  constraint bans_reason_fkey foreign key (community_id, reason_id) references private.words (community_id, id)
);
comment on table private.bans is 'Who may not come back to a community, who said so and why.';
create index bans_community_id_id_idx on private.bans (community_id, id);
create index bans_community_id_banned_by_idx on private.bans (community_id, banned_by);
create index bans_community_id_reason_id_idx on private.bans (community_id, reason_id);
alter table private.bans enable row level security;
create policy nobody_reads_bans on private.bans for select to authenticated using (false);

create function private.found_community(
  p_id uuid, p_founder_id uuid, p_name text, p_description text, p_timezone text, p_daily_cc_budget integer
)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  if (select count(*) from private.communities as c where c.created_by = p_founder_id) >= 10 then
    perform private.refuse('CONFLICT', 'One person may found ten communities.', jsonb_build_object('most', 10));
  end if;
  perform private.make_community(p_id, p_founder_id, p_name, p_description, p_timezone, p_daily_cc_budget);
  perform private.make_join_code(p_id);
  perform private.begin_calendar(p_id, p_timezone, p_daily_cc_budget);
end;
$$;
comment on function private.found_community is
'Makes a community with its join code and its calendar, still without anybody in it. Only under
private.lock_me, the queue in which one person''s communities are counted.

Refuses: CONFLICT {most} (the eleventh of one person, left ones counted).';

create function private.require_room_for_one_more(p_user_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
  if (
    select count(*) from private.community_members as m where m.user_id = p_user_id and m.left_at is null
  ) >= 100 then
    perform private.refuse('CONFLICT', 'One person may be in a hundred communities at a time.', '{"most": 100}');
  end if;
end;
$$;
comment on function private.require_room_for_one_more is
'Asks that a locked person is in fewer than 100 communities. Refuses: CONFLICT {most}.';

create function private.require_joining_rate(p_user_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_earliest timestamptz;
begin
  -- Counted from the lines that tell of it, so that who comes and goes in one community is counted each time.
  select min(latest.created_at) into v_earliest
  from (
    select l.created_at
    from private.community_members as m
    join private.chat_messages as l on l.community_id = m.community_id and l.maker_id = m.user_id
    where m.user_id = p_user_id and m.joined_at > private.clock() - interval '1 hour'
      and l.created_at > private.clock() - interval '1 hour'
      and l.event in ('community_founded', 'member_joined', 'member_returned')
    order by l.created_at desc
    limit 20
  ) as latest
  having count(*) = 20;
  if v_earliest is not null then
    perform private.refuse_for_now(
      'Twenty joinings and foundings an hour are enough.', v_earliest + interval '1 hour', '{"most": 20}'
    );
  end if;
end;
$$;
comment on function private.require_joining_rate is
'Asks that a locked person has joined and founded fewer than 20 times within the hour (RULES 2.2).

Refuses: RATE_LIMITED {most, possible_at, retry_after}.';

create function private.add_member(p_day private.community_days, p_user_id uuid, p_roles text[] default '{member}')
returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  v_is_first boolean := not exists (
    select from private.community_members as m where m.community_id = p_day.community_id and m.user_id = p_user_id
  );
begin
  if not private.mark_joined(p_day.community_id, p_user_id, p_roles, p_day.day) then
    perform private.refuse('CONFLICT', 'You are already in this community.');
  end if;
  -- Asked last, with the row in hand: a removal under way has been waited for.
  if private.is_banned(p_day.community_id, p_user_id) then
    perform private.refuse('FORBIDDEN', 'You may not come back to this community.');
  end if;
  return v_is_first;
end;
$$;
comment on function private.add_member is
'Makes a person a member on a day that is held; returns whether it is their first time.

Refuses: CONFLICT (already in), FORBIDDEN (banned).';

create function private.is_banned(p_community_id uuid, p_user_id uuid)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
  return exists (
    select from private.bans as b where b.community_id = p_community_id and b.user_id = p_user_id
  );
end;
$$;
comment on function private.is_banned is 'Whether a person may not come back to a community.';

create function private.ban(p_community_id uuid, p_user_id uuid, p_by_id uuid, p_reason_id bigint)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  insert into private.bans (community_id, user_id, banned_by, reason_id)
  values (p_community_id, p_user_id, p_by_id, p_reason_id);
end;
$$;
comment on function private.ban is 'Keeps somebody who is not in a community from coming back to it.';

create function private.unban(p_community_id uuid, p_user_id uuid)
returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  delete from private.bans as b where b.community_id = p_community_id and b.user_id = p_user_id;
  return found;
end;
$$;
comment on function private.unban is 'Lets somebody come back to a community; returns whether they were banned.';

create function private.give_purse(p_day private.community_days, p_user_id uuid, p_is_first boolean)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
  perform private.open_purse(p_day.community_id, p_user_id, p_day.day);
  if p_is_first and p_day.is_open then
    perform private.post_first_grant(p_day.community_id, p_user_id, (
      select c.daily_cc_budget from private.communities as c where c.id = p_day.community_id
    ));
  end if;
  perform private.wake_loans(p_day.community_id, p_user_id);
end;
$$;
comment on function private.give_purse is
'Opens a member''s purse on a day that is held: with its budget the first time ever and while the day is open, else
empty until Dawn.';

create function private.bring_in(p_day private.community_days, p_user_id uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_is_first boolean := private.add_member(p_day, p_user_id);
begin
  perform private.give_purse(p_day, p_user_id, v_is_first);
  perform private.begin_reading(p_day.community_id, p_user_id);
  perform private.announce(
    p_day.community_id, case when v_is_first then 'member_joined' else 'member_returned' end,
    jsonb_build_object('user_id', p_user_id)
  );
  perform private.note_item(p_day.community_id, 'joined', p_user_id, jsonb_build_object(
    'user_id', p_user_id, 'how', case when v_is_first then 'joined' else 'returned' end
  ));
end;
$$;
comment on function private.bring_in is
'Makes a person a member on a day that is held, with all that begins with it: purse, mark and the line that tells of it.

Refuses: as private.add_member.';

create function private.show_arrival(p_community_id uuid, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
begin
  return jsonb_build_object(
    'community', private.show_community(p_community_id),
    'member', private.show_member(p_community_id, p_user_id),
    'balance', private.show_balance_of(p_community_id, p_user_id)
  );
end;
$$;
comment on function private.show_arrival is 'What founding and joining answer.';

create function private.show_arrival_again(p_made jsonb)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me private.community_members := private.require_member_today((p_made ->> 'community_id')::uuid);
begin
  return private.show_arrival(v_me.community_id, v_me.user_id);
end;
$$;
comment on function private.show_arrival_again is
'What a founding or a joining made is shown as it stands now, to who is still in. Refuses: NOT_FOUND.';

create function private.create_community(
  p_name text, p_description text, p_timezone text, p_daily_cc_budget integer, p_request_id uuid
)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := (private.lock_me()).id;
  v_id uuid := gen_random_uuid();
  v_made jsonb := private.claim(
    v_me, 'create_community', p_request_id, jsonb_build_array(p_name, p_description, p_timezone, p_daily_cc_budget),
    jsonb_build_object('community_id', v_id)
  );
  v_day private.community_days;
begin
  if v_made is not null then
    return private.show_arrival_again(v_made);
  end if;
  perform private.require_joining_rate(v_me);
  perform private.require_room_for_one_more(v_me);
  perform private.require_name('name', p_name, 50);
  perform private.require_text('description', p_description, 200, 0);
  perform private.require_timezone(p_timezone);
  perform private.require_number('daily_cc_budget', p_daily_cc_budget, 10, 1000);

  perform private.found_community(v_id, v_me, p_name, p_description, p_timezone, p_daily_cc_budget);
  v_day := private.hold_day(v_id);
  perform private.add_member(v_day, v_me, '{member,moderator}');
  perform private.give_purse(v_day, v_me, true);
  perform private.record_act(v_id, v_me, 'community_founded');
  perform private.announce(v_id, 'community_founded', jsonb_build_object('user_id', v_me));
  perform private.note_item(v_id, 'joined', v_me, jsonb_build_object('user_id', v_me, 'how', 'founded'));
  perform private.begin_reading(v_id, v_me);
  return private.show_arrival(v_id, v_me);
end;
$$;

create function public.create_community(
  name text,
  description text default '',
  timezone text default 'UTC',
  daily_cc_budget integer default 100,
  request_id uuid default null
)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.create_community(
    create_community.name, create_community.description, create_community.timezone,
    create_community.daily_cc_budget, create_community.request_id
  );
end;
comment on function public.create_community is
'Founds a community, with the caller as its first member and moderator.

name 1 to 50 characters, description up to 200, daily budget 10 to 1000 CC. The founder gets the day''s budget at
once; one who founds between Sunset and Dawn waits for Dawn. Returns {community, member, balance}. Refuses: CONFLICT
{most} (the eleventh of one person; in a hundred communities already), CONFLICT (request_id), RATE_LIMITED {most,
possible_at, retry_after} (20 joinings and foundings an hour), INVALID_INPUT; a repeat NOT_FOUND, once the founder has
left.';
grant execute on function public.create_community, private.create_community to authenticated;

create function private.join_community(p_invite_code text, p_request_id uuid)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_me uuid := (private.lock_me()).id;
  v_id uuid := private.opened_by(p_invite_code);
  v_made jsonb := private.claim(
    v_me, 'join_community', p_request_id, jsonb_build_array(p_invite_code), jsonb_build_object('community_id', v_id)
  );
  v_day private.community_days;
begin
  if v_made is not null then
    return private.show_arrival_again(v_made);
  end if;
  if v_id is null then
    perform private.refuse_join_code();
  end if;
  perform private.require_joining_rate(v_me);
  perform private.require_room_for_one_more(v_me);
  v_day := private.hold_day(v_id);
  perform private.keep_join_code(v_id, p_invite_code);
  perform private.bring_in(v_day, v_me);
  return private.show_arrival(v_id, v_me);
end;
$$;

create function public.join_community(invite_code text, request_id uuid default null)
returns jsonb
language sql security invoker set search_path = ''
begin atomic
  select private.join_community(join_community.invite_code, join_community.request_id);
end;
comment on function public.join_community is
'Joins the community a join code opens, matched without regard to case, blanks, hyphens and invisible characters.

Only the first ever join grants the day''s budget at once; whoever returns, or joins while the day is closed, waits
for Dawn with an empty purse. A code that is paused or expired answers as one that never was. Returns {community,
member, balance}. Refuses: NOT_FOUND, CONFLICT (already in; {most}: in a hundred communities; request_id), FORBIDDEN
(banned), RATE_LIMITED {most, possible_at, retry_after} (20 joinings and foundings an hour); a repeat NOT_FOUND, once
who joined has left.';
grant execute on function public.join_community, private.join_community to authenticated;
